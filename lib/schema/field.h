/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SCHEMA_FIELD_H
#define SCHEMA_FIELD_H

#include <string.h>

#include "cafe/schema.h"

/* Members of a struct by their place. By memcpy, since an enum's own type is unknown here and a bool that was never set
 * may hold any byte: it is read as the byte it is. */

static inline unsigned char field_bool(const void *at) { return *(const unsigned char *)at; }

static inline int32_t field_enum(const void *at) {
  int32_t number;
  memcpy(&number, at, sizeof(number));
  return number;
}

static inline int64_t field_i64(const void *at) {
  int64_t number;
  memcpy(&number, at, sizeof(number));
  return number;
}

static inline cafe_slice field_slice(const void *at) {
  cafe_slice slice;
  memcpy(&slice, at, sizeof(slice));
  return slice;
}

static inline bool field_is_slice(const cafe_field *field) {
  return field->type == CAFE_FIELD_TEXT || field->type == CAFE_FIELD_BYTES;
}

/* Letters, digits, '_', '-' and '.' after a letter: what SQL, file names and logs take as it is. NULL is none. */
bool field_is_word(const char *name);
/* Small letters, digits and '_' after a letter: a column's name. NULL is none. */
bool field_is_snake(const char *name);

#endif
