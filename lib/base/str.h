/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_STR_H
#define BASE_STR_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include "cafe/alloc.h"
#include "cafe/export.h"
#include "cafe/types.h"

/* Formats into out[size], size at least 1: always ends with NUL, cut between two characters of UTF-8 where it is too
 * long. Returns the number of bytes before the NUL. */
size_t str_format(char *out, size_t size, const char *format, va_list args) CAFE_PRINTF(3, 0);

/* The same in the arena, whole and with NUL. NULL: no memory. */
char *arena_printf(cafe_arena *arena, const char *format, ...) CAFE_PRINTF(2, 3);
char *arena_vprintf(cafe_arena *arena, const char *format, va_list args) CAFE_PRINTF(2, 0);

/* Whether it is UTF-8 as RFC 3629 has it: no overlong form, no surrogate, nothing above U+10FFFF. U+0000 is allowed. */
bool str_is_utf8(cafe_slice text);

/* The number of code points of a text that is UTF-8. */
size_t str_count(cafe_slice text);

/* Whether a text that is UTF-8 holds a control character: U+0000 to U+001F, U+007F to U+009F. */
bool str_has_control(cafe_slice text);

#endif
