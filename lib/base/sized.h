/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_SIZED_H
#define BASE_SIZED_H

#include <stdbool.h>
#include <stddef.h>

/* What was built with other headers than this library. */

/* Whether all bytes are 0: what is reserved, or what a newer struct has more, asks for nothing. */
bool is_zero(const void *bytes, size_t size);

#endif
