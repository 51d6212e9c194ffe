/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A field table is the one description of a struct. Everything here believes it, and reads and writes memory by its
 * offsets: cafe_schema_check is what makes that safe, and it runs once, where a table comes in.
 */
#include "cafe/schema.h"

#include <assert.h>
#include <string.h>

#include "base/arena.h"
#include "base/sized.h"
#include "base/str.h"
#include "schema/codec.h"
#include "schema/field.h"

/* ---- check ---- */

/* The size of a field's C type; each has the same alignment but for slices, which have a pointer's. 0: no type. */
static uint32_t width_of(uint16_t type) {
  switch (type) {
  case CAFE_FIELD_BOOL:
    return (uint32_t)sizeof(bool);
  case CAFE_FIELD_ENUM:
    return (uint32_t)sizeof(int32_t);
  case CAFE_FIELD_I64:
  case CAFE_FIELD_U64:
  case CAFE_FIELD_TIME:
    return (uint32_t)sizeof(int64_t);
  case CAFE_FIELD_TEXT:
  case CAFE_FIELD_BYTES:
    return (uint32_t)sizeof(cafe_slice);
  default:
    return 0;
  }
}

static uint32_t alignment_of(uint16_t type) {
  switch (type) {
  case CAFE_FIELD_BOOL:
    return (uint32_t) _Alignof(bool);
  case CAFE_FIELD_ENUM:
    return (uint32_t) _Alignof(int32_t);
  case CAFE_FIELD_TEXT:
  case CAFE_FIELD_BYTES:
    return (uint32_t) _Alignof(cafe_slice);
  default:
    return (uint32_t) _Alignof(int64_t);
  }
}

static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
static bool is_small(char c) { return c >= 'a' && c <= 'z'; }
static bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool field_is_word(const char *name) {
  if (!name || !is_letter(name[0])) {
    return false;
  }
  for (const char *p = name; *p; p++) {
    if (!is_letter(*p) && !is_digit(*p) && *p != '_' && *p != '-' && *p != '.') {
      return false;
    }
  }
  return true;
}

bool field_is_snake(const char *name) {
  if (!name || !is_small(name[0])) {
    return false;
  }
  for (const char *p = name; *p; p++) {
    if (!is_small(*p) && !is_digit(*p) && *p != '_') {
      return false;
    }
  }
  return true;
}

static int check_names(const cafe_schema *schema, const cafe_field *field, cafe_err *err) {
  if (field->type != CAFE_FIELD_ENUM) {
    if (field->names || field->names_count) {
      return cafe_fail(err, CAFE_INVALID, "%s.%s: only an ENUM has names", schema->name, field->name);
    }
    return CAFE_OK;
  }
  if (!field->names || field->names_count == 0 || field->names_count > INT32_MAX) {
    return cafe_fail(err, CAFE_INVALID, "%s.%s: an ENUM needs the names of its values", schema->name, field->name);
  }
  for (uint32_t i = 0; i < field->names_count; i++) {
    const char *name = field->names[i];
    /* 0 is what a field has that was never set: it needs no name. */
    if (i > 0 && (!name || !name[0])) {
      return cafe_fail(err, CAFE_INVALID, "%s.%s: value %u has no name", schema->name, field->name, (unsigned)i);
    }
    for (uint32_t j = 0; name && name[0] && j < i; j++) {
      if (field->names[j] && strcmp(field->names[j], name) == 0) {
        return cafe_fail(err, CAFE_INVALID, "%s.%s: two values are called %s", schema->name, field->name, name);
      }
    }
  }
  return CAFE_OK;
}

static int check_field(const cafe_schema *schema, uint32_t index, cafe_err *err) {
  const cafe_field *field = &schema->fields[index];
  if (!field_is_snake(field->name)) {
    return cafe_fail(err, CAFE_INVALID, "%s: field %u has no name in snake_case", schema->name, (unsigned)(index + 1));
  }
  if (field->number != index + 1) {
    return cafe_fail(err, CAFE_INVALID, "%s.%s: has number %u and must have %u: they rise from 1 without gap",
                     schema->name, field->name, (unsigned)field->number, (unsigned)(index + 1));
  }
  uint32_t width = width_of(field->type);
  if (width == 0) {
    return cafe_fail(err, CAFE_INVALID, "%s.%s: %u is no field type", schema->name, field->name, (unsigned)field->type);
  }
  if (field->width != width) {
    return cafe_fail(err, CAFE_INVALID, "%s.%s: the member has %u bytes, its type %u", schema->name, field->name,
                     (unsigned)field->width, (unsigned)width);
  }
  bool is_known = !(field->flags & ~(uint32_t)CAFE_FIELD_SECRET) && !field->reserved_word && !field->of;
  if (!is_known || !is_zero(field->reserved, sizeof(field->reserved))) {
    return cafe_fail(err, CAFE_UNSUPPORTED, "%s.%s: has flags or reserved words that this library doesn't know",
                     schema->name, field->name);
  }
  if (field->offset > schema->width || schema->width - field->offset < width ||
      field->offset % alignment_of(field->type) != 0) {
    return cafe_fail(err, CAFE_INVALID, "%s.%s: isn't inside the struct: its offset is of another one", schema->name,
                     field->name);
  }
  for (uint32_t i = 0; i < index; i++) {
    const cafe_field *other = &schema->fields[i];
    if (strcmp(other->name, field->name) == 0) {
      return cafe_fail(err, CAFE_INVALID, "%s.%s: is there twice", schema->name, field->name);
    }
    if (field->offset < other->offset + other->width && other->offset < field->offset + field->width) {
      return cafe_fail(err, CAFE_INVALID, "%s.%s: lies where %s lies", schema->name, field->name, other->name);
    }
  }
  return check_names(schema, field, err);
}

int cafe_schema_check(const cafe_schema *schema, cafe_err *err) {
  if (!schema || !field_is_word(schema->name)) {
    return cafe_fail(err, CAFE_INVALID, "a schema has no name of letters, digits, '_', '-' and '.'");
  }
  if (!schema->fields || schema->field_count == 0 || schema->field_count > UINT16_MAX) {
    return cafe_fail(err, CAFE_INVALID, "%s: has %u fields: it needs 1 to 65535", schema->name,
                     (unsigned)schema->field_count);
  }
  if (!is_zero(schema->reserved, sizeof(schema->reserved))) {
    return cafe_fail(err, CAFE_UNSUPPORTED, "%s: has reserved words that this library doesn't know", schema->name);
  }
  for (uint32_t i = 0; i < schema->field_count; i++) {
    int code = check_field(schema, i, err);
    if (code) {
      return code;
    }
  }
  return CAFE_OK;
}

/* ---- one field ---- */

cafe_value cafe_schema_get(const cafe_schema *schema, const void *value, uint32_t index) {
  const cafe_field *field = &schema->fields[index];
  const char *at = (const char *)value + field->offset;
  cafe_value out = {field, 0, {NULL, 0}};
  switch (field->type) {
  case CAFE_FIELD_BOOL:
    out.number = field_bool(at) != 0;
    break;
  case CAFE_FIELD_ENUM:
    out.number = field_enum(at);
    if (out.number >= 0 && out.number < (int64_t)field->names_count) {
      out.bytes = cafe_text(field->names[out.number]);
    }
    break;
  case CAFE_FIELD_TEXT:
  case CAFE_FIELD_BYTES:
    out.bytes = field_slice(at);
    break;
  default:
    out.number = field_i64(at);
    break;
  }
  return out;
}

static int set_enum(void *at, const cafe_schema *schema, const cafe_field *field, const cafe_value *from,
                    cafe_err *err) {
  int64_t number = from->number;
  if (from->bytes.size > 0) {
    for (number = 0; number < (int64_t)field->names_count; number++) {
      if (cafe_slice_equal(cafe_text(field->names[number]), from->bytes)) {
        break;
      }
    }
  }
  if (number < 0 || number >= (int64_t)field->names_count) {
    return codec_refuse(schema, field, err);
  }
  int32_t narrow = (int32_t)number;
  memcpy(at, &narrow, sizeof(narrow));
  return CAFE_OK;
}

int cafe_schema_set(void *value, const cafe_schema *schema, uint32_t index, const cafe_value *from, cafe_err *err) {
  const cafe_field *field = &schema->fields[index];
  char *at = (char *)value + field->offset;
  switch (field->type) {
  case CAFE_FIELD_BOOL:
    if (from->number != 0 && from->number != 1) {
      return codec_refuse(schema, field, err);
    }
    *(bool *)at = from->number != 0;
    return CAFE_OK;
  case CAFE_FIELD_ENUM:
    return set_enum(at, schema, field, from, err);
  case CAFE_FIELD_TEXT:
  case CAFE_FIELD_BYTES: {
    cafe_slice bytes = from->bytes.size ? from->bytes : (cafe_slice){NULL, 0};
    if (field->type == CAFE_FIELD_TEXT && !str_is_utf8(bytes)) {
      return codec_refuse(schema, field, err);
    }
    memcpy(at, &bytes, sizeof(bytes));
    return CAFE_OK;
  }
  case CAFE_FIELD_U64:
    if (from->number < 0 || (uint64_t)from->number > CAFE_KEY_MAX) {
      return codec_refuse(schema, field, err);
    }
    break;
  default:
    break;
  }
  memcpy(at, &from->number, sizeof(from->number));
  return CAFE_OK;
}

int cafe_schema_find(const cafe_schema *schema, cafe_slice name) {
  for (uint32_t i = 0; i < schema->field_count; i++) {
    if (cafe_slice_equal(cafe_text(schema->fields[i].name), name)) {
      return (int)i;
    }
  }
  return -1;
}

/* ---- copy ---- */

int codec_copy(void *to, const void *from, const cafe_schema *schema, size_t texts, cafe_arena *arena) {
  char *next = NULL;
  if (texts) {
    next = arena_take(arena, texts);
    if (!next) {
      return CAFE_NOMEM;
    }
  }
  memmove(to, from, schema->width);
  for (uint32_t i = 0; i < schema->field_count; i++) {
    const cafe_field *field = &schema->fields[i];
    if (field_is_slice(field)) {
      char *at = (char *)to + field->offset;
      cafe_slice slice = field_slice(at);
      if (slice.size) {
        assert(next && texts > slice.size);
        memcpy(next, slice.data, slice.size);
        next[slice.size] = '\0';
        slice.data = next;
        next += slice.size + 1;
        texts -= slice.size + 1;
      } else {
        slice.data = NULL;
      }
      memcpy(at, &slice, sizeof(slice));
    }
  }
  return CAFE_OK;
}

int cafe_schema_copy(void *to, const void *from, const cafe_schema *schema, cafe_arena *arena) {
  size_t texts = 0;
  for (uint32_t i = 0; i < schema->field_count; i++) {
    const cafe_field *field = &schema->fields[i];
    if (field_is_slice(field)) {
      size_t size = field_slice((const char *)from + field->offset).size;
      if (size >= SIZE_MAX - texts) {
        return CAFE_NOMEM;
      }
      texts += size ? size + 1 : 0;
    }
  }
  return codec_copy(to, from, schema, texts, arena);
}
