/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Text is UTF-8 everywhere inside. What came from outside is believed to be UTF-8 only after str_is_utf8 said so;
 * str_count and str_has_control don't check again. Messages for people may quote anything, in pieces of any length, and
 * end up in JSON and logs: so str_format makes UTF-8 of whatever it is given.
 */
#include "base/str.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

static bool is_continuation(char byte) { return ((unsigned char)byte & 0xC0u) == 0x80u; }

/* The length of the sequence that begins at p, or 0 if it is none. The table of RFC 3629, section 4. */
static size_t sequence(const unsigned char *p, size_t left) {
  unsigned char first = p[0];
  unsigned char low = 0x80u;
  unsigned char high = 0xBFu;
  size_t size = 0;
  if (first < 0x80u) {
    return 1;
  }
  if (first >= 0xC2u && first <= 0xDFu) {
    size = 2;
  } else if (first >= 0xE0u && first <= 0xEFu) {
    size = 3;
    low = first == 0xE0u ? 0xA0u : 0x80u;
    high = first == 0xEDu ? 0x9Fu : 0xBFu;
  } else if (first >= 0xF0u && first <= 0xF4u) {
    size = 4;
    low = first == 0xF0u ? 0x90u : 0x80u;
    high = first == 0xF4u ? 0x8Fu : 0xBFu;
  }
  if (size == 0 || left < size || p[1] < low || p[1] > high) {
    return 0;
  }
  for (size_t i = 2; i < size; i++) {
    if (p[i] < 0x80u || p[i] > 0xBFu) {
      return 0;
    }
  }
  return size;
}

/* The length of what four bytes, the first one highest, surely begin with, or 0: then sequence knows. Most of what
 * isn't ASCII is Hangul or another script of three bytes, which have no exceptions but behind E0 and ED. */
static inline size_t plain_sequence(uint32_t four) {
  const uint32_t leads_without_exception = 0xDFFEu; /* E0 is bit 0, ED bit 13 */
  if ((four & 0xF0C0C000u) == 0xE0808000u && leads_without_exception >> (four >> 24 & 0xFu) & 1u) {
    return 3;
  }
  return (four & 0x80808080u) == 0 ? 4 : (four & 0x80000000u) == 0;
}

bool str_is_utf8(cafe_slice text) {
  const unsigned char *p = (const unsigned char *)text.data;
  if (str_is_ascii(text)) {
    return true;
  }
  for (size_t left = text.size; left > 0;) {
    size_t size = 0;
    if (left >= sizeof(uint32_t)) {
      size = plain_sequence((uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3]);
    }
    if (size == 0) {
      size = sequence(p, left);
    }
    if (size == 0) {
      return false;
    }
    p += size;
    left -= size;
  }
  return true;
}

size_t str_format(char *out, size_t size, const char *format, va_list args) {
  int wanted = vsnprintf(out, size, format, args);
  if (wanted < 0) {
    out[0] = '\0';
    return 0;
  }
  bool cut = (size_t)wanted >= size;
  size_t length = cut ? size - 1 : (size_t)wanted;
  for (size_t i = 0; i < length;) {
    size_t step = sequence((const unsigned char *)out + i, length - i);
    if (step == 0 && cut && length - i < 4) {
      length = i;
      break;
    }
    if (step == 0) {
      out[i] = '?';
      step = 1;
    }
    i += step;
  }
  out[length] = '\0';
  return length;
}

char *arena_vprintf(cafe_arena *arena, const char *format, va_list args) {
  va_list again;
  va_copy(again, args);
  int wanted = vsnprintf(NULL, 0, format, again); /* NOLINT(clang-analyzer-valist.Uninitialized): clang 14 errs */
  va_end(again);
  if (wanted < 0) {
    return NULL;
  }
  char *out = cafe_arena_alloc(arena, (size_t)wanted + 1);
  if (out) {
    vsnprintf(out, (size_t)wanted + 1, format, args);
  }
  return out;
}

char *arena_printf(cafe_arena *arena, const char *format, ...) {
  va_list args;
  va_start(args, format);
  char *out = arena_vprintf(arena, format, args);
  va_end(args);
  return out;
}

size_t str_number(char *out, size_t size, const char *before, uint64_t number, const char *after) {
  char digits[20]; /* of 2^64 - 1 */
  size_t first = sizeof(digits);
  do {
    digits[--first] = (char)('0' + number % 10);
    number /= 10;
  } while (number);
  const cafe_slice parts[] = {cafe_text(before), {digits + first, sizeof(digits) - first}, cafe_text(after)};
  size_t wanted = 0;
  for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
    size_t left = wanted < size ? size - 1 - wanted : 0;
    size_t taken = parts[i].size < left ? parts[i].size : left;
    if (taken) {
      memcpy(out + wanted, parts[i].data, taken);
    }
    wanted += parts[i].size;
  }
  out[wanted < size ? wanted : size - 1] = '\0';
  return wanted;
}

size_t str_count(cafe_slice text) {
  size_t count = 0;
  for (size_t i = 0; i < text.size; i++) {
    count += !is_continuation(text.data[i]);
  }
  return count;
}

bool str_has_control(cafe_slice text) {
  for (size_t i = 0; i < text.size; i++) {
    unsigned char byte = (unsigned char)text.data[i];
    if (byte < 0x20u || byte == 0x7Fu) {
      return true;
    }
    /* U+0080 to U+009F are C2 80 to C2 9F; C2 is never a continuation. */
    if (byte == 0xC2u && i + 1 < text.size && (unsigned char)text.data[i + 1] < 0xA0u) {
      return true;
    }
  }
  return false;
}
