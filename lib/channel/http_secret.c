/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The token. It is in no text and no log, and in memory as briefly as can be: one from a file only while a message is
 * being sent, since it is read anew for each, one that was given as long as the channel lives. A receiver may send it
 * back in its answer, of which texts are made: there it is blotted out.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "channel/http.h"

void secret_wipe(void *bytes, size_t size) {
  volatile char *at = bytes;
  while (size-- > 0) {
    *at++ = 0;
  }
}

static bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

static int failure(const http_channel *self, int cause, cafe_err *err) {
  cafe_code code = cause == EACCES || cause == EPERM ? CAFE_DENIED : CAFE_UNAVAILABLE;
  const char *remedy = code == CAFE_DENIED ? "make it readable for this user" : "put it there";
  return cafe_fail_detail(err, code, cause, "channel %s: its token_file %s can't be read: %s; %s", self->base.name,
                          self->token_file, strerror(cause), remedy);
}

/* Not blocking, and a file only: whatever stands there, the loop goes on. */
static int read_file(char *out, size_t size, ssize_t *length, const http_channel *self, cafe_err *err) {
  struct stat st;
  int fd = open(self->token_file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (fd < 0) {
    return failure(self, errno, err);
  }
  int cause = 0;
  if (fstat(fd, &st) != 0) {
    cause = errno;
  } else if (!S_ISREG(st.st_mode)) {
    cause = S_ISDIR(st.st_mode) ? EISDIR : ENOTSUP;
  }
  *length = 0;
  ssize_t more = 1;
  while (cause == 0 && more != 0 && (size_t)*length < size) {
    more = read(fd, out + *length, size - (size_t)*length);
    if (more < 0 && errno != EINTR) {
      cause = errno;
    }
    *length += more > 0 ? more : 0;
  }
  (void)close(fd);
  return cause ? failure(self, cause, err) : CAFE_OK;
}

/* What a header can carry without an end of line in it. */
static int check_token(const char *token, const http_channel *self, cafe_err *err) {
  const char *from = self->token ? "token" : "token_file";
  for (const char *at = token; *at; at++) {
    if (*at <= ' ' || *at > '~') {
      return cafe_fail(err, CAFE_INVALID, "channel %s: its %s has characters that a token can't have", self->base.name,
                       from);
    }
  }
  size_t length = strlen(token);
  if (length == 0 || length > HTTP_TOKEN_MAX) {
    return cafe_fail(err, CAFE_INVALID, "channel %s: its %s has %zu characters; a token has 1 to %d", self->base.name,
                     from, length, (int)HTTP_TOKEN_MAX);
  }
  return CAFE_OK;
}

int secret_read(char out[HTTP_TOKEN_MAX + 1], const http_channel *self, cafe_err *err) {
  char text[HTTP_TOKEN_MAX + 64];
  ssize_t length = 0;
  int code = CAFE_OK;
  out[0] = '\0';
  if (self->token) {
    code = check_token(self->token, self, err);
    if (code == CAFE_OK) {
      memcpy(out, self->token, strlen(self->token) + 1);
    }
    return code;
  }
  if (!self->token_file) {
    return CAFE_OK;
  }
  code = read_file(text, sizeof(text) - 1, &length, self, err);
  if (code == CAFE_OK) {
    const char *from = text;
    while (length > 0 && is_space(text[length - 1])) {
      length--;
    }
    text[length] = '\0';
    while (is_space(*from)) {
      from++;
    }
    code = check_token(from, self, err);
    if (code == CAFE_OK) {
      memcpy(out, from, strlen(from) + 1);
    }
  }
  secret_wipe(text, sizeof(text));
  return code;
}

void secret_mask(char *text, const char *token) {
  size_t size = strlen(token);
  size_t left = strlen(text);
  if (size == 0) {
    return;
  }
  for (; *text; text++, left--) {
    size_t looked = left < size ? left : size;
    if (memcmp(text, token, looked) == 0 && looked > 0) {
      memset(text, '*', looked);
    }
  }
}
