/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes that grow. Whoever writes an answer adds to it without a look at failures; whoever sends it looks once. So
 * nothing may be added after a failure: a text with a hole in it would still look whole.
 */
#include "http/buffer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static bool reserve(buffer *out, size_t more) {
  if (out->failed) {
    return false;
  }
  if (more <= out->capacity - out->size) {
    return true;
  }
  size_t capacity = out->capacity ? out->capacity : 512;
  while (capacity - out->size < more && capacity <= SIZE_MAX / 4) {
    capacity *= 2;
  }
  char *data = capacity - out->size < more ? NULL : realloc(out->data, capacity);
  if (!data) {
    out->failed = true;
    return false;
  }
  out->data = data;
  out->capacity = capacity;
  return true;
}

void buffer_add(buffer *out, const char *bytes, size_t size) {
  if (size > 0 && reserve(out, size)) {
    memcpy(out->data + out->size, bytes, size);
    out->size += size;
  }
}

void buffer_text(buffer *out, const char *text) { buffer_add(out, text, strlen(text)); }

void buffer_format(buffer *out, const char *format, ...) {
  char text[512];
  va_list arguments;
  va_start(arguments, format);
  int size = vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  if (size < 0) {
    out->failed = true;
  } else if ((size_t)size < sizeof text) {
    buffer_add(out, text, (size_t)size);
  } else if (reserve(out, (size_t)size + 1)) {
    va_start(arguments, format);
    (void)vsnprintf(out->data + out->size, (size_t)size + 1, format, arguments);
    va_end(arguments);
    out->size += (size_t)size;
  }
}

void buffer_reset(buffer *out) {
  free(out->data);
  *out = (buffer){0};
}
