/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SCHEMA_CODEC_H
#define SCHEMA_CODEC_H

#include "cafe/schema.h"

/* What encode.c and collect.c both need to know of a value before they touch it. */
typedef struct codec_measure {
  size_t encoded_max; /* the msgpack form has at most so many bytes */
  uint32_t used;      /* fields up to the last one that isn't zero */
  size_t texts;       /* its texts and bytes, with a NUL behind each that isn't empty */
} codec_measure;

/* Whether the struct's values are within their types: CAFE_OK, or CAFE_INVALID, which names the field. */
int codec_check(codec_measure *out, const cafe_schema *schema, const void *value, cafe_err *err);

/* cafe_schema_copy of a struct that codec_check measured: its texts go to one piece of the arena. CAFE_OK or
 * CAFE_NOMEM. */
int codec_copy(void *to, const void *from, const cafe_schema *schema, size_t texts, cafe_arena *arena);

/* Writes the msgpack form of a struct that codec_check took, where there is room for encoded_max bytes. Returns its
 * end. */
char *codec_pack(char *to, const cafe_schema *schema, const void *value, const codec_measure *measure);

/* The same of a struct of count I64s alone, at most 15, given as they follow each other. */
char *codec_pack_numbers(char *to, const int64_t *numbers, uint32_t count);

/* cafe_schema_encode of a struct that codec_check took. CAFE_NOMEM. */
int codec_encode(cafe_slice *out, cafe_arena *arena, const cafe_schema *schema, const void *value,
                 const codec_measure *measure, cafe_err *err);

/* Why a value can't be this field's: CAFE_INVALID, with the type's rule as text. */
int codec_refuse(const cafe_schema *schema, const cafe_field *field, cafe_err *err);

#endif
