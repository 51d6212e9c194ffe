/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Reads msgpack in place, driven by the field table. The bytes may be anybody's: every length is checked against the
 * bytes left before it is used, every count before it is believed, nothing is reserved, and nesting costs no stack. What
 * is wrong is refused whole: a struct that is half read never leaves here.
 *
 * Writers may use any width of integer, and both bin and str for bytes; a type that isn't the field's is an error, an
 * element that the table doesn't have is not: it is from a newer version, and skipped.
 */
#include <string.h>

#include "base/str.h"
#include "schema/codec.h"
#include "schema/field.h"

typedef struct reader {
  const unsigned char *p;
  const unsigned char *end;
} reader;

/* The bytes of msgpack's own names. */
enum {
  FIXMAP = 0x80,
  FIXARRAY = 0x90,
  FIXSTR = 0xA0,
  NIL = 0xC0,
  FALSE_ = 0xC2,
  TRUE_ = 0xC3,
  BIN8 = 0xC4,
  BIN16 = 0xC5,
  BIN32 = 0xC6,
  EXT8 = 0xC7,
  EXT16 = 0xC8,
  EXT32 = 0xC9,
  FLOAT32 = 0xCA,
  FLOAT64 = 0xCB,
  UINT8_ = 0xCC,
  UINT16_ = 0xCD,
  UINT32_ = 0xCE,
  UINT64_ = 0xCF,
  INT8_ = 0xD0,
  INT16_ = 0xD1,
  INT32_ = 0xD2,
  INT64_ = 0xD3,
  FIXEXT1 = 0xD4,
  FIXEXT16 = 0xD8,
  STR8 = 0xD9,
  STR16 = 0xDA,
  STR32 = 0xDB,
  ARRAY16 = 0xDC,
  ARRAY32 = 0xDD,
  MAP16 = 0xDE,
  MAP32 = 0xDF,
  NEGATIVE = 0xE0
};

static size_t left(const reader *r) { return (size_t)(r->end - r->p); }

/* A big-endian number of 1, 2, 4 or 8 bytes. */
static bool take_number(uint64_t *out, reader *r, size_t size) {
  if (left(r) < size) {
    return false;
  }
  uint64_t value = 0;
  for (size_t i = 0; i < size; i++) {
    value = value << 8 | r->p[i];
  }
  r->p += size;
  *out = value;
  return true;
}

/* The integer that follows its head. *negative tells whether *out is to be read as int64_t. */
static bool take_integer(uint64_t *out, bool *negative, reader *r, unsigned head) {
  *negative = false;
  if (head < FIXMAP) {
    *out = head;
    return true;
  }
  if (head >= NEGATIVE) {
    *negative = true;
    *out = (uint64_t)(int64_t)(int8_t)head;
    return true;
  }
  if (head >= UINT8_ && head <= UINT64_) {
    return take_number(out, r, (size_t)1 << (head - UINT8_));
  }
  if (head < INT8_ || head > INT64_) {
    return false;
  }
  size_t size = (size_t)1 << (head - INT8_);
  uint64_t raw;
  if (!take_number(&raw, r, size)) {
    return false;
  }
  unsigned shift = (unsigned)(64 - 8 * size);
  int64_t value = (int64_t)(raw << shift) >> shift;
  *negative = value < 0;
  *out = (uint64_t)value;
  return true;
}

/* The length of a str or bin that follows its head, all of whose bytes are there. */
static bool take_length(size_t *out, reader *r, unsigned head, bool bin_too) {
  uint64_t length;
  if (head >= FIXSTR && head < NIL) {
    length = head - FIXSTR;
  } else if (head >= STR8 && head <= STR32) {
    if (!take_number(&length, r, (size_t)1 << (head - STR8))) {
      return false;
    }
  } else if (bin_too && head >= BIN8 && head <= BIN32) {
    if (!take_number(&length, r, (size_t)1 << (head - BIN8))) {
      return false;
    }
  } else {
    return false;
  }
  if (length > left(r)) {
    return false;
  }
  *out = (size_t)length;
  return true;
}

/* Skips an element of whatever type. Containers aren't entered but counted: `pending` elements are still to come, each
 * has a byte at least, so a count that the bytes can't hold is refused before it is walked. */
static bool skip(reader *r, uint64_t elements) {
  uint64_t pending = elements;
  while (pending > 0) {
    if (pending > left(r)) {
      return false;
    }
    pending--;
    unsigned head = *r->p++;
    uint64_t size = 0; /* bytes that follow */
    uint64_t inner = 0;
    if (head < FIXMAP || head >= NEGATIVE || head == NIL || head == FALSE_ || head == TRUE_) {
      continue;
    }
    if (head < FIXARRAY) {
      inner = (uint64_t)(head - FIXMAP) * 2;
    } else if (head < FIXSTR) {
      inner = head - FIXARRAY;
    } else if (head < NIL) {
      size = head - FIXSTR;
    } else if (head >= BIN8 && head <= EXT32) {
      bool is_ext = head >= EXT8;
      if (!take_number(&size, r, (size_t)1 << (head - (is_ext ? (unsigned)EXT8 : (unsigned)BIN8)))) {
        return false;
      }
      size += is_ext;
    } else if (head == FLOAT32) {
      size = 4;
    } else if (head == FLOAT64) {
      size = 8;
    } else if (head >= UINT8_ && head <= UINT64_) {
      size = (uint64_t)1 << (head - UINT8_);
    } else if (head >= INT8_ && head <= INT64_) {
      size = (uint64_t)1 << (head - INT8_);
    } else if (head >= FIXEXT1 && head <= FIXEXT16) {
      size = ((uint64_t)1 << (head - FIXEXT1)) + 1;
    } else if (head >= STR8 && head <= STR32) {
      if (!take_number(&size, r, (size_t)1 << (head - STR8))) {
        return false;
      }
    } else if (head >= ARRAY16 && head <= MAP32) {
      if (!take_number(&inner, r, head & 1u ? 4 : 2)) {
        return false;
      }
      if (head >= MAP16) {
        inner *= 2;
      }
    } else {
      return false;
    }
    if (size > left(r)) {
      return false;
    }
    r->p += size;
    pending += inner;
  }
  return true;
}

static bool take_count(uint32_t *out, reader *r) {
  uint64_t count;
  if (left(r) == 0) {
    return false;
  }
  unsigned head = *r->p++;
  if (head >= FIXARRAY && head < FIXSTR) {
    count = head - FIXARRAY;
  } else if (head != ARRAY16 && head != ARRAY32) {
    return false;
  } else if (!take_number(&count, r, head == ARRAY16 ? 2 : 4)) {
    return false;
  }
  *out = (uint32_t)count;
  return count <= left(r);
}

/* Reads one element into the member at `at`, which is zero. */
static bool take_field(char *at, reader *r, const cafe_field *field) {
  if (left(r) == 0) {
    return false;
  }
  unsigned head = *r->p++;
  if (head == NIL) {
    return true;
  }
  uint64_t number;
  bool negative;
  size_t length;
  switch (field->type) {
  case CAFE_FIELD_BOOL:
    if (head != TRUE_ && head != FALSE_) {
      return false;
    }
    *(bool *)at = head == TRUE_;
    return true;
  case CAFE_FIELD_I64:
  case CAFE_FIELD_TIME:
    if (!take_integer(&number, &negative, r, head) || (!negative && number > INT64_MAX)) {
      return false;
    }
    memcpy(at, &number, sizeof(number));
    return true;
  case CAFE_FIELD_U64:
    if (!take_integer(&number, &negative, r, head) || negative || number > CAFE_KEY_MAX) {
      return false;
    }
    memcpy(at, &number, sizeof(number));
    return true;
  case CAFE_FIELD_ENUM: {
    if (!take_integer(&number, &negative, r, head) || negative || number >= field->names_count) {
      return false;
    }
    int32_t narrow = (int32_t)number;
    memcpy(at, &narrow, sizeof(narrow));
    return true;
  }
  default: {
    if (!take_length(&length, r, head, field->type == CAFE_FIELD_BYTES)) {
      return false;
    }
    if (length == 0) {
      return true;
    }
    cafe_slice slice = {(const char *)r->p, length};
    if (field->type == CAFE_FIELD_TEXT && !str_is_utf8(slice)) {
      return false;
    }
    memcpy(at, &slice, sizeof(slice));
    r->p += length;
    return true;
  }
  }
}

int cafe_schema_decode(void *value, const cafe_schema *schema, cafe_slice bytes, cafe_err *err) {
  memset(value, 0, schema->width);
  reader r = {(const unsigned char *)bytes.data, (const unsigned char *)bytes.data + bytes.size};
  uint32_t count;
  if (bytes.size == 0 || !take_count(&count, &r)) {
    return cafe_fail(err, CAFE_INVALID, "%s: isn't a msgpack array, or is cut off", schema->name);
  }
  uint32_t known = count < schema->field_count ? count : schema->field_count;
  for (uint32_t i = 0; i < known; i++) {
    const cafe_field *field = &schema->fields[i];
    if (!take_field((char *)value + field->offset, &r, field)) {
      memset(value, 0, schema->width);
      return codec_refuse(schema, field, err);
    }
  }
  if (!skip(&r, count - known) || left(&r) != 0) {
    memset(value, 0, schema->width);
    return cafe_fail(err, CAFE_INVALID, "%s: what follows its fields is no msgpack, or too much", schema->name);
  }
  return CAFE_OK;
}
