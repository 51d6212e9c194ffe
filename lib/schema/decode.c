/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Reads msgpack in place, driven by the field table. The bytes may be anybody's: every length is checked against the
 * bytes left before it is used, every count before it is believed, nothing is reserved, and nesting costs no stack.
 * What is wrong is refused whole: a struct that is half read never leaves here.
 *
 * Writers may use any width of integer, and both bin and str for bytes; a type that isn't the field's is an error, an
 * element that the table doesn't have is not: it is from a newer version, and skipped.
 */
#include <string.h>

#include "base/str.h"
#include "schema/codec.h"
#include "schema/field.h"

/* The bytes of msgpack's own names. */
enum {
  MP_FIXMAP = 0x80,
  MP_FIXARRAY = 0x90,
  MP_FIXSTR = 0xA0,
  MP_NIL = 0xC0,
  MP_FALSE = 0xC2,
  MP_TRUE = 0xC3,
  MP_BIN8 = 0xC4,
  MP_BIN16 = 0xC5,
  MP_BIN32 = 0xC6,
  MP_EXT8 = 0xC7,
  MP_EXT16 = 0xC8,
  MP_EXT32 = 0xC9,
  MP_FLOAT32 = 0xCA,
  MP_FLOAT64 = 0xCB,
  MP_UINT8 = 0xCC,
  MP_UINT16 = 0xCD,
  MP_UINT32 = 0xCE,
  MP_UINT64 = 0xCF,
  MP_INT8 = 0xD0,
  MP_INT16 = 0xD1,
  MP_INT32 = 0xD2,
  MP_INT64 = 0xD3,
  MP_FIXEXT1 = 0xD4,
  MP_FIXEXT16 = 0xD8,
  MP_STR8 = 0xD9,
  MP_STR16 = 0xDA,
  MP_STR32 = 0xDB,
  MP_ARRAY16 = 0xDC,
  MP_ARRAY32 = 0xDD,
  MP_MAP16 = 0xDE,
  MP_MAP32 = 0xDF,
  MP_NEGATIVE = 0xE0
};

/* The functions below read from p, before end, and return where they stopped: NULL if what is there isn't what they
 * read, or is cut off. */
typedef const unsigned char *place;

static size_t left(place p, place end) { return (size_t)(end - p); }

/* A big-endian number of 1, 2, 4 or 8 bytes. */
static inline place take_number(uint64_t *out, place p, place end, size_t size) {
  if (left(p, end) < size) {
    return NULL;
  }
  switch (size) {
  case 1:
    *out = p[0];
    break;
  case 2:
    *out = (uint64_t)p[0] << 8 | p[1];
    break;
  case 4:
    *out = (uint64_t)p[0] << 24 | (uint64_t)p[1] << 16 | (uint64_t)p[2] << 8 | p[3];
    break;
  default:
    *out = (uint64_t)p[0] << 56 | (uint64_t)p[1] << 48 | (uint64_t)p[2] << 40 | (uint64_t)p[3] << 32 |
           (uint64_t)p[4] << 24 | (uint64_t)p[5] << 16 | (uint64_t)p[6] << 8 | p[7];
    break;
  }
  return p + size;
}

/* An integer of any width that is at least low and at most high; low is 0 or INT64_MIN. */
static inline place take_integer(int64_t *out, place p, place end, unsigned head, int64_t low, uint64_t high) {
  uint64_t raw;
  if (head < MP_FIXMAP) {
    raw = head;
  } else if (head >= MP_NEGATIVE) {
    *out = (int64_t)head - 256;
    return low < 0 ? p : NULL;
  } else if (head >= MP_UINT8 && head <= MP_UINT64) {
    p = take_number(&raw, p, end, (size_t)1 << (head - MP_UINT8));
  } else if (head >= MP_INT8 && head <= MP_INT64) {
    size_t size = (size_t)1 << (head - MP_INT8);
    p = take_number(&raw, p, end, size);
    if (p && raw >> (8 * size - 1)) {
      /* The sign is spread over the bits above. */
      *out = size == 8 ? (int64_t)raw : (int64_t)(raw | ~UINT64_C(0) << (8 * size));
      return low < 0 ? p : NULL;
    }
  } else {
    return NULL;
  }
  if (!p || raw > high) {
    return NULL;
  }
  *out = (int64_t)raw;
  return p;
}

/* The length of a str, or of a bin too; its bytes follow, and are all there. */
static inline place take_length(size_t *out, place p, place end, unsigned head, bool bin_too) {
  uint64_t length;
  if (head >= MP_FIXSTR && head < MP_NIL) {
    length = head - MP_FIXSTR;
  } else if (head >= MP_STR8 && head <= MP_STR32) {
    p = take_number(&length, p, end, (size_t)1 << (head - MP_STR8));
  } else if (bin_too && head >= MP_BIN8 && head <= MP_BIN32) {
    p = take_number(&length, p, end, (size_t)1 << (head - MP_BIN8));
  } else {
    return NULL;
  }
  if (!p || length > left(p, end)) {
    return NULL;
  }
  *out = (size_t)length;
  return p;
}

/* What follows the head of an element that is skipped: so many bytes, then so many elements. */
static place take_extent(uint64_t *bytes, uint64_t *elements, place p, place end, unsigned head) {
  *bytes = 0;
  *elements = 0;
  if (head < MP_FIXMAP || head >= MP_NEGATIVE || head == MP_NIL || head == MP_FALSE || head == MP_TRUE) {
    return p;
  }
  if (head < MP_FIXARRAY) {
    *elements = (uint64_t)(head - MP_FIXMAP) * 2;
  } else if (head < MP_FIXSTR) {
    *elements = head - MP_FIXARRAY;
  } else if (head < MP_NIL) {
    *bytes = head - MP_FIXSTR;
  } else if (head >= MP_BIN8 && head <= MP_BIN32) {
    p = take_number(bytes, p, end, (size_t)1 << (head - MP_BIN8));
  } else if (head >= MP_EXT8 && head <= MP_EXT32) {
    p = take_number(bytes, p, end, (size_t)1 << (head - MP_EXT8));
    *bytes += 1; /* the type */
  } else if (head == MP_FLOAT32 || head == MP_FLOAT64) {
    *bytes = head == MP_FLOAT32 ? 4 : 8;
  } else if (head >= MP_UINT8 && head <= MP_UINT64) {
    *bytes = (uint64_t)1 << (head - MP_UINT8);
  } else if (head >= MP_INT8 && head <= MP_INT64) {
    *bytes = (uint64_t)1 << (head - MP_INT8);
  } else if (head >= MP_FIXEXT1 && head <= MP_FIXEXT16) {
    *bytes = ((uint64_t)1 << (head - MP_FIXEXT1)) + 1;
  } else if (head >= MP_STR8 && head <= MP_STR32) {
    p = take_number(bytes, p, end, (size_t)1 << (head - MP_STR8));
  } else if (head == MP_ARRAY16 || head == MP_ARRAY32) {
    p = take_number(elements, p, end, head == MP_ARRAY16 ? 2 : 4);
  } else if (head == MP_MAP16 || head == MP_MAP32) {
    p = take_number(elements, p, end, head == MP_MAP16 ? 2 : 4);
    *elements *= 2;
  } else {
    return NULL; /* C1, which msgpack never uses */
  }
  return p;
}

/* Skips elements of whatever type. Containers aren't entered but counted: each element still to come has a byte at
 * least, so a count that the bytes can't hold is refused before it is walked. */
static place skip(place p, place end, uint64_t count) {
  while (count > 0) {
    if (count > left(p, end)) {
      return NULL;
    }
    unsigned head = *p++;
    uint64_t bytes;
    uint64_t elements;
    p = take_extent(&bytes, &elements, p, end, head);
    if (!p || bytes > left(p, end)) {
      return NULL;
    }
    p += bytes;
    count = count - 1 + elements;
  }
  return p;
}

static place take_count(uint32_t *out, place p, place end) {
  if (p == end) {
    return NULL;
  }
  uint64_t count;
  unsigned head = *p++;
  if (head >= MP_FIXARRAY && head < MP_FIXSTR) {
    count = head - MP_FIXARRAY;
  } else if (head == MP_ARRAY16 || head == MP_ARRAY32) {
    p = take_number(&count, p, end, head == MP_ARRAY16 ? 2 : 4);
  } else {
    return NULL;
  }
  if (!p || count > left(p, end)) {
    return NULL;
  }
  *out = (uint32_t)count;
  return p;
}

static inline place take_slice(cafe_slice *out, place p, place end, unsigned head, bool is_text) {
  size_t length;
  p = take_length(&length, p, end, head, !is_text);
  if (!p) {
    return NULL;
  }
  cafe_slice slice = {length ? (const char *)p : NULL, length};
  if (is_text && !str_is_ascii(slice) && !str_is_utf8(slice)) {
    return NULL;
  }
  *out = slice;
  return p + length;
}

/* Reads one element into the member at `at`, which is zero. */
static inline place take_field(char *at, place p, place end, const cafe_field *field) {
  if (p == end) {
    return NULL;
  }
  unsigned head = *p++;
  if (head == MP_NIL) {
    return p;
  }
  int64_t number = 0;
  switch (field->type) {
  case CAFE_FIELD_BOOL:
    *(bool *)at = head == MP_TRUE;
    return head == MP_TRUE || head == MP_FALSE ? p : NULL;
  case CAFE_FIELD_ENUM: {
    p = take_integer(&number, p, end, head, 0, field->names_count - 1);
    int32_t narrow = (int32_t)number;
    memcpy(at, &narrow, sizeof(narrow));
    return p;
  }
  case CAFE_FIELD_TEXT:
  case CAFE_FIELD_BYTES: {
    cafe_slice slice = {NULL, 0};
    p = take_slice(&slice, p, end, head, field->type == CAFE_FIELD_TEXT);
    memcpy(at, &slice, sizeof(slice));
    return p;
  }
  case CAFE_FIELD_U64:
    p = take_integer(&number, p, end, head, 0, CAFE_KEY_MAX);
    break;
  default:
    p = take_integer(&number, p, end, head, INT64_MIN, INT64_MAX);
    break;
  }
  memcpy(at, &number, sizeof(number));
  return p;
}

int cafe_schema_decode(void *value, const cafe_schema *schema, cafe_slice bytes, cafe_err *err) {
  memset(value, 0, schema->width);
  place p = (place)bytes.data;
  place end = bytes.size ? p + bytes.size : p;
  uint32_t count = 0;
  p = take_count(&count, p, end);
  if (!p) {
    return cafe_fail(err, CAFE_INVALID, "%s: isn't a msgpack array, or is cut off", schema->name);
  }
  uint32_t known = count < schema->field_count ? count : schema->field_count;
  for (uint32_t i = 0; i < known; i++) {
    const cafe_field *field = &schema->fields[i];
    p = take_field((char *)value + field->offset, p, end, field);
    if (!p) {
      memset(value, 0, schema->width);
      return codec_refuse(schema, field, err);
    }
  }
  p = skip(p, end, count - known);
  if (p != end) {
    memset(value, 0, schema->width);
    return cafe_fail(err, CAFE_INVALID, "%s: what follows its fields is no msgpack, or too much", schema->name);
  }
  return CAFE_OK;
}
