/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_SIZED_H
#define BASE_SIZED_H

#include <stdbool.h>
#include <stddef.h>

#include "cafe/err.h"

/* What was built with other headers than this library. */

/* Reads a struct that begins with its size into the library's own, of own_size: what both know, the rest is zero, and
 * own's size is own_size. CAFE_INVALID: it is shorter than min_size, what 0.1 knew of it, or NULL. CAFE_UNSUPPORTED: it
 * is longer than own, and what is beyond isn't zero. On failure own is zeroed. The message says what has that size, and
 * by what it is set. */
int sized_read(void *own, size_t own_size, size_t min_size, const void *given, const char *what, const char *by,
               cafe_err *err);

/* The same for a struct that never grows: it is used where it lies. */
int sized_check(const void *given, size_t size, const char *what, const char *by, cafe_err *err);

/* Up to the end of the last member that 0.1 had. */
#define SIZED_UNTIL(type, last) (offsetof(type, last) + sizeof(((type *)0)->last))
#define SIZED_READ(own, given, type, last, by, err)                                                                    \
  sized_read((own), sizeof(type), SIZED_UNTIL(type, last), (given), #type, (by), (err))

/* Whether a table of methods, which begins with its size, reaches as far as this one and has it. */
#define SIZED_HAS(ops, method)                                                                                         \
  ((ops)->size >= (size_t)((const char *)(&(ops)->method + 1) - (const char *)(ops)) && (ops)->method)

/* Whether all bytes are 0: what is reserved, or what a newer struct has more, asks for nothing. */
bool is_zero(const void *bytes, size_t size);

#endif
