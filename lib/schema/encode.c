/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The msgpack form is what is stored for ever: field n at place n - 1, nil for zero, no nil at the end. So one value
 * has one form, and a field that is added at the end changes nothing in what was written before.
 *
 * The size is bounded before the first byte is packed: the arena hands out the bytes once, and msgpack-c, which packs
 * them, can't run out of room.
 */
#include <msgpack/pack_define.h>
#include <msgpack/timestamp.h>
#include <string.h>

#include "base/arena.h"
#include "base/str.h"
#include "schema/codec.h"
#include "schema/field.h"

enum {
  HEAD_MAX = 5, /* of an array, a text or bytes */
  NUMBER_MAX = 9
};

int codec_refuse(const cafe_schema *schema, const cafe_field *field, cafe_err *err) {
  const char *rule = "";
  switch (field->type) {
  case CAFE_FIELD_BOOL:
    rule = "true or false";
    break;
  case CAFE_FIELD_I64:
  case CAFE_FIELD_TIME:
    rule = "an integer of 64 bits";
    break;
  case CAFE_FIELD_U64:
    rule = "an integer from 0 to 2^53 - 1";
    break;
  case CAFE_FIELD_ENUM:
    rule = "one of its named values";
    break;
  case CAFE_FIELD_TEXT:
    rule = "text in UTF-8";
    break;
  default:
    rule = "bytes, fewer than 2^32";
    break;
  }
  return cafe_fail(err, CAFE_INVALID, "%s.%s: must be %s", schema->name, field->name, rule);
}

/* Whether the value is within its type; *size is what it needs, 0 if it is zero. */
static bool check_value(size_t *size, const cafe_field *field, const char *at) {
  *size = 0;
  switch (field->type) {
  case CAFE_FIELD_BOOL:
    *size = field_bool(at);
    return field_bool(at) <= 1;
  case CAFE_FIELD_ENUM: {
    int32_t number = field_enum(at);
    *size = number ? NUMBER_MAX : 0;
    return number >= 0 && (uint32_t)number < field->names_count;
  }
  case CAFE_FIELD_TEXT:
  case CAFE_FIELD_BYTES: {
    cafe_slice slice = field_slice(at);
    *size = slice.size ? slice.size + HEAD_MAX : 0;
    return slice.size <= UINT32_MAX - HEAD_MAX &&
           (field->type == CAFE_FIELD_BYTES || str_is_ascii(slice) || str_is_utf8(slice));
  }
  case CAFE_FIELD_U64: {
    uint64_t number = (uint64_t)field_i64(at);
    *size = number ? NUMBER_MAX : 0;
    return number <= CAFE_KEY_MAX;
  }
  default:
    *size = field_i64(at) ? NUMBER_MAX : 0;
    return true;
  }
}

int codec_check(codec_measure *out, const cafe_schema *schema, const void *value, cafe_err *err) {
  size_t total = HEAD_MAX;
  size_t texts = 0;
  uint32_t used = 0;
  for (uint32_t i = 0; i < schema->field_count; i++) {
    const cafe_field *field = &schema->fields[i];
    size_t size;
    if (!check_value(&size, field, (const char *)value + field->offset)) {
      return codec_refuse(schema, field, err);
    }
    if (size) {
      used = i + 1;
      texts += field_is_slice(field) ? size - HEAD_MAX + 1 : 0;
    }
    /* One for nil. 65535 fields of 2^32 bytes at most: no overflow of 64 bits, and on 32 bits no such memory. */
    total += size ? size : 1;
  }
  *out = (codec_measure){total, used, texts};
  return CAFE_OK;
}

/* msgpack-c's functions, made for the place to write to (a char **, moved on) instead of for its packer, which calls
 * back for each of their bytes. */
#define msgpack_pack_user                       char **
#define msgpack_pack_inline_func(name)          static inline int pack##name
#define msgpack_pack_inline_func_cint(name)     static inline int pack##name
#define msgpack_pack_inline_func_fixint(name)   static inline int pack_fix##name
#define msgpack_pack_append_buffer(to, from, n) return (memcpy(*(to), (from), (n)), *(to) += (n), 0)
#include <msgpack/pack_template.h>

static void pack_field(char **to, const cafe_field *field, const char *at) {
  switch (field->type) {
  case CAFE_FIELD_BOOL:
    if (field_bool(at)) {
      pack_true(to);
      return;
    }
    break;
  case CAFE_FIELD_ENUM:
    if (field_enum(at)) {
      pack_int32(to, field_enum(at));
      return;
    }
    break;
  case CAFE_FIELD_TEXT: {
    cafe_slice slice = field_slice(at);
    if (slice.size) {
      pack_str(to, slice.size);
      pack_str_body(to, slice.data, slice.size);
      return;
    }
    break;
  }
  case CAFE_FIELD_BYTES: {
    cafe_slice slice = field_slice(at);
    if (slice.size) {
      pack_bin(to, slice.size);
      pack_bin_body(to, slice.data, slice.size);
      return;
    }
    break;
  }
  default:
    if (field_i64(at)) {
      pack_int64(to, field_i64(at));
      return;
    }
    break;
  }
  pack_nil(to);
}

char *codec_pack(char *to, const cafe_schema *schema, const void *value, const codec_measure *measure) {
  pack_array(&to, measure->used);
  for (uint32_t i = 0; i < measure->used; i++) {
    const cafe_field *field = &schema->fields[i];
    pack_field(&to, field, (const char *)value + field->offset);
  }
  return to;
}

char *codec_pack_numbers(char *to, const int64_t *numbers, uint32_t count) {
  while (count > 0 && numbers[count - 1] == 0) {
    count--;
  }
  pack_array(&to, count);
  for (uint32_t i = 0; i < count; i++) {
    if (numbers[i]) {
      pack_int64(&to, numbers[i]);
    } else {
      pack_nil(&to);
    }
  }
  return to;
}

int codec_encode(cafe_slice *out, cafe_arena *arena, const cafe_schema *schema, const void *value,
                 const codec_measure *measure, cafe_err *err) {
  char *bytes = arena_take(arena, measure->encoded_max);
  if (!bytes) {
    return cafe_fail(err, CAFE_NOMEM, "%s: no memory for its msgpack form", schema->name);
  }
  size_t size = (size_t)(codec_pack(bytes, schema, value, measure) - bytes);
  arena_shrink(arena, bytes, measure->encoded_max, size);
  *out = (cafe_slice){bytes, size};
  return CAFE_OK;
}

int cafe_schema_encode(cafe_slice *out, cafe_arena *arena, const cafe_schema *schema, const void *value,
                       cafe_err *err) {
  codec_measure measure = {0, 0, 0};
  int code = codec_check(&measure, schema, value, err);
  return code ? code : codec_encode(out, arena, schema, value, &measure, err);
}
