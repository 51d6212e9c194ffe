/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_STR_H
#define BASE_STR_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "cafe/alloc.h"
#include "cafe/export.h"
#include "cafe/types.h"

/* Formats into out[size], size at least 1. What comes out is UTF-8 whatever went in (a wrong byte becomes '?'), ends
 * with NUL, and is cut between two characters where it is too long. Returns the number of bytes before the NUL. */
size_t str_format(char *out, size_t size, const char *format, va_list args) CAFE_PRINTF(3, 0);

/* The same in the arena, whole and with NUL. NULL: no memory. */
char *arena_printf(cafe_arena *arena, const char *format, ...) CAFE_PRINTF(2, 3);
char *arena_vprintf(cafe_arena *arena, const char *format, va_list args) CAFE_PRINTF(2, 0);

/* As snprintf of "%s%llu%s" in out[size], size at least 1. For names that are made for each order: printf costs ten
 * times that. */
size_t str_number(char *out, size_t size, const char *before, uint64_t number, const char *after);

/* Whether no byte has its high bit set. Inline: nearly all text is ASCII, and this runs for each that is read or
 * written. A word at a time; the last one overlaps the one before. */
static inline bool str_is_ascii(cafe_slice text) {
  const uint64_t high_bits = UINT64_C(0x8080808080808080);
  const char *p = text.data;
  size_t size = text.size;
  uint64_t word = 0;
  uint64_t seen = 0;
  if (size >= sizeof(word)) {
    for (; size > sizeof(word); p += sizeof(word), size -= sizeof(word)) {
      memcpy(&word, p, sizeof(word));
      seen |= word;
    }
    memcpy(&word, p + size - sizeof(word), sizeof(word));
    seen |= word;
  } else if (size >= sizeof(uint32_t)) {
    uint32_t half[2];
    memcpy(&half[0], p, sizeof(half[0]));
    memcpy(&half[1], p + size - sizeof(half[1]), sizeof(half[1]));
    seen = half[0] | half[1];
  } else if (size > 0) {
    seen = (unsigned char)p[0] | (unsigned char)p[size / 2] | (unsigned char)p[size - 1];
  }
  return (seen & high_bits) == 0;
}

/* Whether it is UTF-8 as RFC 3629 has it: no overlong form, no surrogate, nothing above U+10FFFF. U+0000 is allowed. */
bool str_is_utf8(cafe_slice text);

/* The number of code points of a text that is UTF-8. */
size_t str_count(cafe_slice text);

/* Whether a text that is UTF-8 holds a control character: U+0000 to U+001F, U+007F to U+009F. */
bool str_has_control(cafe_slice text);

#endif
