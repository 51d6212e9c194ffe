/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON in. Every value keeps its source text, because money must not pass through a double and 1e400 has to be told
 * apart from infinity; and a text that two readers could take for different things (a name twice, NaN, bytes that
 * aren't UTF-8) is refused. Readers in common use give up the one or the other, hence this one: RFC 8259 to the letter,
 * members of the outermost object only, nothing reserved by what the text claims.
 */
#include "http/json.h"

#include <stdlib.h>

/* Deeper texts are refused, since the reader recurses. */
enum { DEPTH_MAX = 32 };

typedef struct reader {
  const char *at;
  const char *end;
  cafe_arena *arena;
  bool is_exhausted; /* memory was refused */
} reader;

/* Unicode 15, table 3-7: no overlong forms, no surrogates, nothing above U+10FFFF. */
static size_t sequence(const unsigned char *at, size_t left) {
  unsigned char first = at[0];
  if (first < 0x80) {
    return 1;
  }
  size_t size = first >= 0xC2 && first <= 0xDF   ? 2
                : first >= 0xE0 && first <= 0xEF ? 3
                : first >= 0xF0 && first <= 0xF4 ? 4
                                                 : 0;
  if (size == 0 || size > left) {
    return 0;
  }
  unsigned char low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
  unsigned char high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
  if (at[1] < low || at[1] > high) {
    return 0;
  }
  for (size_t i = 2; i < size; i++) {
    if (at[i] < 0x80 || at[i] > 0xBF) {
      return 0;
    }
  }
  return size;
}

bool json_is_utf8(cafe_slice bytes) {
  const unsigned char *at = (const unsigned char *)bytes.data;
  for (size_t i = 0; i < bytes.size;) {
    size_t size = sequence(at + i, bytes.size - i);
    if (size == 0) {
      return false;
    }
    i += size;
  }
  return true;
}

static void space(reader *in) {
  while (in->at < in->end && (*in->at == ' ' || *in->at == '\t' || *in->at == '\n' || *in->at == '\r')) {
    in->at++;
  }
}

static bool take(reader *in, char wanted) {
  if (in->at == in->end || *in->at != wanted) {
    return false;
  }
  in->at++;
  return true;
}

static bool word(reader *in, const char *text) {
  size_t size = strlen(text);
  if ((size_t)(in->end - in->at) < size || memcmp(in->at, text, size) != 0) {
    return false;
  }
  in->at += size;
  return true;
}

static bool is_digit(const reader *in) { return in->at < in->end && *in->at >= '0' && *in->at <= '9'; }

static bool digits(reader *in) {
  if (!is_digit(in)) {
    return false;
  }
  while (is_digit(in)) {
    in->at++;
  }
  return true;
}

static bool number(reader *in) {
  (void)take(in, '-');
  if (!take(in, '0') && !digits(in)) {
    return false;
  }
  if (take(in, '.') && !digits(in)) {
    return false;
  }
  if (take(in, 'e') || take(in, 'E')) {
    if (!take(in, '+')) {
      (void)take(in, '-');
    }
    return digits(in);
  }
  return true;
}

static bool hex4(reader *in, uint32_t *out) {
  *out = 0;
  for (int i = 0; i < 4; i++, in->at++) {
    if (in->at == in->end) {
      return false;
    }
    char c = *in->at;
    uint32_t digit = c >= '0' && c <= '9'   ? (uint32_t)(c - '0')
                     : c >= 'a' && c <= 'f' ? (uint32_t)(c - 'a' + 10)
                     : c >= 'A' && c <= 'F' ? (uint32_t)(c - 'A' + 10)
                                            : 16;
    if (digit == 16) {
      return false;
    }
    *out = *out * 16 + digit;
  }
  return true;
}

/* Writes what stands behind a backslash, as UTF-8. */
static bool escape(reader *in, char **to) {
  static const char plain[] = "\"\\/bfnrt";
  static const char meant[] = "\"\\/\b\f\n\r\t";
  if (in->at == in->end) {
    return false;
  }
  const char *found = *in->at ? strchr(plain, *in->at) : NULL;
  if (found) {
    in->at++;
    *(*to)++ = meant[found - plain];
    return true;
  }
  uint32_t code;
  if (!take(in, 'u') || !hex4(in, &code)) {
    return false;
  }
  if (code >= 0xD800 && code <= 0xDFFF) {
    uint32_t low;
    if (code > 0xDBFF || !take(in, '\\') || !take(in, 'u') || !hex4(in, &low) || low < 0xDC00 || low > 0xDFFF) {
      return false;
    }
    code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
  }
  if (code < 0x80) {
    *(*to)++ = (char)code;
  } else if (code < 0x800) {
    *(*to)++ = (char)(0xC0 | code >> 6);
    *(*to)++ = (char)(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    *(*to)++ = (char)(0xE0 | code >> 12);
    *(*to)++ = (char)(0x80 | (code >> 6 & 0x3F));
    *(*to)++ = (char)(0x80 | (code & 0x3F));
  } else {
    *(*to)++ = (char)(0xF0 | code >> 18);
    *(*to)++ = (char)(0x80 | (code >> 12 & 0x3F));
    *(*to)++ = (char)(0x80 | (code >> 6 & 0x3F));
    *(*to)++ = (char)(0x80 | (code & 0x3F));
  }
  return true;
}

static bool string(reader *in, cafe_slice *out) {
  if (!take(in, '"')) {
    return false;
  }
  const char *start = in->at;
  const char *close = start;
  bool is_escaped = false;
  while (close < in->end && *close != '"') {
    if ((unsigned char)*close < 0x20) {
      return false;
    }
    if (*close == '\\') {
      is_escaped = true;
      close++;
    }
    close++;
  }
  if (close >= in->end) {
    return false;
  }
  if (!is_escaped) {
    *out = (cafe_slice){start, (size_t)(close - start)};
    in->at = close + 1;
    return true;
  }
  /* An escape is never shorter than what it stands for. */
  char *text = cafe_arena_alloc(in->arena, (size_t)(close - start));
  if (!text) {
    in->is_exhausted = true;
    return false;
  }
  char *to = text;
  while (in->at < close) {
    if (*in->at != '\\') {
      *to++ = *in->at++;
    } else {
      in->at++;
      if (!escape(in, &to)) {
        return false;
      }
    }
  }
  *out = (cafe_slice){text, (size_t)(to - text)};
  return take(in, '"');
}

static bool value(reader *in, json_kind *kind, cafe_slice *text, int depth);

static bool elements(reader *in, int depth) {
  json_kind kind;
  cafe_slice text;
  space(in);
  if (take(in, ']')) {
    return true;
  }
  do {
    if (!value(in, &kind, &text, depth)) {
      return false;
    }
  } while (take(in, ','));
  return take(in, ']');
}

static bool name_and_value(reader *in, json_member *out, int depth) {
  space(in);
  if (!string(in, &out->name)) {
    return false;
  }
  space(in);
  return take(in, ':') && value(in, &out->kind, &out->text, depth);
}

static bool inner_members(reader *in, int depth) {
  json_member member;
  space(in);
  if (take(in, '}')) {
    return true;
  }
  do {
    if (!name_and_value(in, &member, depth)) {
      return false;
    }
  } while (take(in, ','));
  return take(in, '}');
}

/* A value and the white space around it. */
static bool value(reader *in, json_kind *kind, cafe_slice *text, int depth) {
  space(in);
  const char *start = in->at;
  bool ok = false;
  if (in->at == in->end || depth > DEPTH_MAX) {
    return false;
  }
  switch (*in->at) {
  case '"':
    *kind = JSON_STRING;
    ok = string(in, text);
    space(in);
    return ok;
  case '[':
    *kind = JSON_OTHER;
    in->at++;
    ok = elements(in, depth + 1);
    break;
  case '{':
    *kind = JSON_OTHER;
    in->at++;
    ok = inner_members(in, depth + 1);
    break;
  case 't':
    *kind = JSON_BOOL;
    ok = word(in, "true");
    break;
  case 'f':
    *kind = JSON_BOOL;
    ok = word(in, "false");
    break;
  case 'n':
    *kind = JSON_NULL;
    ok = word(in, "null");
    break;
  default:
    *kind = JSON_NUMBER;
    ok = number(in);
  }
  *text = (cafe_slice){start, (size_t)(in->at - start)};
  space(in);
  return ok;
}

/* Room for one member more. */
static json_member *another(json_object *out, uint32_t *capacity, cafe_arena *arena) {
  if (out->count == *capacity) {
    uint32_t wanted = *capacity ? *capacity * 2 : 16;
    json_member *members = cafe_arena_alloc(arena, wanted * sizeof *members);
    if (!members) {
      return NULL;
    }
    if (out->count) {
      memcpy(members, out->members, out->count * sizeof *members);
    }
    out->members = members;
    *capacity = wanted;
  }
  return &out->members[out->count++];
}

static int by_name(const void *a, const void *b) {
  cafe_slice left = ((const json_member *)a)->name;
  cafe_slice right = ((const json_member *)b)->name;
  size_t size = left.size < right.size ? left.size : right.size;
  int order = size ? memcmp(left.data, right.data, size) : 0;
  return order ? order : (left.size > right.size) - (left.size < right.size);
}

static bool outermost(reader *in, json_object *out) {
  json_kind kind;
  cafe_slice text;
  uint32_t capacity = 0;
  space(in);
  if (!take(in, '{')) {
    return value(in, &kind, &text, 0) && in->at == in->end;
  }
  out->is_object = true;
  space(in);
  if (!take(in, '}')) {
    do {
      json_member *member = another(out, &capacity, in->arena);
      if (!member) {
        in->is_exhausted = true;
        return false;
      }
      if (!name_and_value(in, member, 1)) {
        return false;
      }
    } while (take(in, ','));
    if (!take(in, '}')) {
      return false;
    }
  }
  space(in);
  return in->at == in->end;
}

int json_read(json_object *out, cafe_arena *arena, cafe_slice bytes, cafe_err *err) {
  *out = (json_object){0};
  if (!json_is_utf8(bytes)) {
    return cafe_fail(err, CAFE_INVALID, "the body isn't UTF-8");
  }
  if (bytes.size == 0) {
    return cafe_fail(err, CAFE_INVALID, "the body is empty; a JSON object is needed");
  }
  reader in = {bytes.data, bytes.data + bytes.size, arena, false};
  if (!outermost(&in, out)) {
    if (in.is_exhausted) {
      return cafe_fail(err, CAFE_NOMEM, "no memory to read the body");
    }
    return cafe_fail(err, CAFE_INVALID, "the body isn't JSON; the error is near byte %zu",
                     (size_t)(in.at - bytes.data) + 1);
  }
  if (out->count > 1) {
    qsort(out->members, out->count, sizeof *out->members, by_name);
    for (uint32_t i = 1; i < out->count; i++) {
      if (cafe_slice_equal(out->members[i - 1].name, out->members[i].name)) {
        return cafe_fail(err, CAFE_INVALID, "the body names a member twice: %.*s",
                         (int)(out->members[i].name.size < 64 ? out->members[i].name.size : 64),
                         out->members[i].name.data);
      }
    }
  }
  return CAFE_OK;
}

const json_member *json_find(const json_object *object, const char *name) {
  json_member wanted = {.name = cafe_text(name)};
  const json_member *found =
      object->count ? bsearch(&wanted, object->members, object->count, sizeof wanted, by_name) : NULL;
  return found && found->kind != JSON_NULL ? found : NULL;
}
