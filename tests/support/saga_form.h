/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SAGA_FORM_H
#define SAGA_FORM_H

#include <string.h>

#include "cafe/schema.h"

/* The state in a saga's row as lib/saga/row.c writes it, told a second time: bytes in stores are read by it. */
typedef struct state_form {
  int32_t phase;
  bool is_joining;
  int64_t guard;
  cafe_slice signals, steps, fired, pending;
} state_form;
static const char *const phases[] = {"none", "running", "guarding", "compensating", "ended", "undone", "parked"};
static const cafe_field state_fields[] = {
    CAFE_FIELD_ENUM_OF(1, state_form, phase, phases), CAFE_FIELD_OF(2, BOOL, state_form, is_joining),
    CAFE_FIELD_OF(3, I64, state_form, guard),         CAFE_FIELD_OF(4, BYTES, state_form, signals),
    CAFE_FIELD_OF(5, BYTES, state_form, steps),       CAFE_FIELD_OF(6, BYTES, state_form, fired),
    CAFE_FIELD_OF(7, BYTES, state_form, pending),
};
static const cafe_schema state_type = CAFE_SCHEMA_OF("SagaState", state_form, state_fields);

typedef struct record_form {
  int64_t id, a, b, c, d, e;
} record_form;
static const cafe_field record_fields[] = {
    CAFE_FIELD_OF(1, I64, record_form, id), CAFE_FIELD_OF(2, I64, record_form, a),
    CAFE_FIELD_OF(3, I64, record_form, b),  CAFE_FIELD_OF(4, I64, record_form, c),
    CAFE_FIELD_OF(5, I64, record_form, d),  CAFE_FIELD_OF(6, I64, record_form, e),
};
static const cafe_schema record_type = CAFE_SCHEMA_OF("Record", record_form, record_fields);

/* Puts a record at the end of a list. False: no memory. */
static inline bool saga_form_push(cafe_slice *list, const record_form *record, cafe_arena *arena) {
  cafe_slice one;
  if (cafe_schema_encode(&one, arena, &record_type, record, NULL)) {
    return false;
  }
  char *bytes = cafe_arena_alloc(arena, list->size + one.size + 1);
  if (!bytes) {
    return false;
  }
  if (list->size) {
    memcpy(bytes, list->data, list->size);
  }
  bytes[list->size] = (char)one.size;
  memcpy(bytes + list->size + 1, one.data, one.size);
  *list = (cafe_slice){bytes, list->size + one.size + 1};
  return true;
}

#endif
