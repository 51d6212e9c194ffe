/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Any bytes at all: decoding refuses them and leaves a zeroed struct, or gives a value that can be encoded, and whose
 * encoding decodes to the same value and is the one form of it.
 */
#include <string.h>

#include "cafe/cafe.h"
#include "fuzz.h"

typedef struct thing {
  bool flag;
  int64_t count;
  uint64_t key;
  int32_t kind;
  cafe_slice name;
  cafe_slice blob;
  int64_t at_ms;
  cafe_slice token;
} thing;

static const char *const kinds[] = {"none", "small", "large"};

static const cafe_field fields[] = {
    CAFE_FIELD_OF(1, BOOL, thing, flag),  CAFE_FIELD_OF(2, I64, thing, count),
    CAFE_FIELD_OF(3, U64, thing, key),    CAFE_FIELD_ENUM_OF(4, thing, kind, kinds),
    CAFE_FIELD_OF(5, TEXT, thing, name),  CAFE_FIELD_OF(6, BYTES, thing, blob),
    CAFE_FIELD_OF(7, TIME, thing, at_ms), CAFE_FIELD_SECRET_OF(8, TEXT, thing, token),
};

static void try_decode(cafe_arena *arena, const cafe_schema *type, cafe_slice bytes) {
  thing value;
  memset(&value, 0x5A, sizeof(value));
  cafe_err err;
  if (cafe_schema_decode(&value, type, bytes, &err)) {
    require(err.code == CAFE_INVALID);
    for (size_t i = 0; i < sizeof(value); i++) {
      require(((const unsigned char *)&value)[i] == 0);
    }
    return;
  }
  cafe_slice first;
  cafe_slice second;
  thing copy;
  thing back;
  require(cafe_schema_encode(&first, arena, type, &value, NULL) == CAFE_OK);
  require(cafe_schema_copy(&copy, &value, type, arena) == CAFE_OK);
  require(cafe_schema_decode(&back, type, first, NULL) == CAFE_OK);
  require(cafe_schema_encode(&second, arena, type, &back, NULL) == CAFE_OK);
  require(cafe_slice_equal(first, second));
  require(cafe_schema_encode(&second, arena, type, &copy, NULL) == CAFE_OK);
  require(cafe_slice_equal(first, second));
  memset(&copy, 0, sizeof(copy));
  for (uint32_t i = 0; i < type->field_count; i++) {
    cafe_value field = cafe_schema_get(type, &value, i);
    require(cafe_schema_set(&copy, type, i, &field, NULL) == CAFE_OK);
  }
  require(cafe_schema_encode(&second, arena, type, &copy, NULL) == CAFE_OK);
  require(cafe_slice_equal(first, second));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const cafe_schema whole = CAFE_SCHEMA_OF("Thing", thing, fields);
  static const cafe_schema older = {"Thing", sizeof(thing), 2, fields};
  cafe_arena *arena = cafe_arena_create(NULL);
  if (arena) {
    cafe_slice bytes = {(const char *)data, size};
    try_decode(arena, &whole, bytes);
    try_decode(arena, &older, bytes);
  }
  cafe_arena_destroy(arena);
  return 0;
}
