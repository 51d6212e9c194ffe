/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAFE_SCHEMA_H
#define CAFE_SCHEMA_H

#include <stddef.h>

#include "cafe/alloc.h"
#include "cafe/err.h"
#include "cafe/export.h"
#include "cafe/types.h"

CAFE_BEGIN_DECLS

/*
 * Every command, event, row and saga memory is a plain struct described once by a field table. From the table come its
 * msgpack form, its SQL columns, and, by the visitor, JSON and Python. The struct member must have the C type given.
 *
 * A schema has one field at least, since there is no empty struct in C. A command or an event that says no more than
 * its name has one that is never set, `bool unused`, which takes no room in what is stored; such messages may share the
 * struct and its table, each with a schema of its own name.
 *
 * A struct may have members that no field names, but they are neither stored nor sent: only an aggregate's state, which
 * is never stored, has use for them: a list, a struct within it (aggregate.h).
 *
 * A struct may get more fields behind its end in a newer library, never in the padding there, which an older program
 * leaves as it was: whoever adds one to a struct of his own that ends in padding makes that a member first. So data is
 * handed in with its size (sizeof, by whoever knows the struct): what both sides know is copied, and what the library
 * knows beyond that is zero. A size of 0, or one that ends inside a field, is CAFE_INVALID. Bytes that the library
 * doesn't know must be zero, or it is CAFE_UNSUPPORTED: a newer library is needed. What the library hands out holds at
 * least what the headers say that a program was built with. Where no size is handed in (encode, decode, copy, get, set
 * below) the struct has all schema->width bytes: reserve so many, not sizeof, for a schema of the library.
 *
 * A new value of an ENUM is a change for readers: one that doesn't know it refuses what holds it, since what it means
 * mustn't be guessed where money hangs on it. So upgrade readers first, then write it. Values are never taken out, nor
 * given another meaning.
 */
typedef enum cafe_field_type {
  CAFE_FIELD_BOOL = 1,  /* bool */
  CAFE_FIELD_I64 = 2,   /* int64_t */
  CAFE_FIELD_U64 = 3,   /* uint64_t, at most CAFE_KEY_MAX */
  CAFE_FIELD_ENUM = 4,  /* int32_t or an enum of that size; a number below names_count. SQL and JSON show the name */
  CAFE_FIELD_TEXT = 5,  /* cafe_slice, UTF-8 */
  CAFE_FIELD_BYTES = 6, /* cafe_slice */
  CAFE_FIELD_TIME = 7   /* int64_t, milliseconds since 1970-01-01 UTC; 0 is none */
} cafe_field_type;

typedef enum cafe_field_flag {
  CAFE_FIELD_SECRET = 1 /* a credential: never logged, never visited, refused in events and views */
} cafe_field_flag;

/* Frozen, as is every struct that stands in an array. What is reserved, here and in all definitions, must be zero: the
 * macros and every initialiser that doesn't name it leave it so. Anything else is CAFE_UNSUPPORTED where the definition
 * is checked: it was written for a newer library. */
typedef struct cafe_field {
  uint16_t number; /* from 1, rising without gap. Fixed for ever: it is the place in the msgpack array */
  uint16_t type;   /* a cafe_field_type */
  uint32_t flags;  /* cafe_field_flag */
  uint32_t offset; /* offsetof in the struct */
  uint32_t width;  /* sizeof the member, so that a wrong type is found at registration */
  uint32_t names_count;
  uint32_t reserved_word;
  const char *name;             /* snake_case, the C member's; JSON shows camelCase */
  const char *const *names;     /* ENUM: the name of each value; else NULL */
  const struct cafe_schema *of; /* reserved, for structs and lists within structs */
  const void *reserved[2];
} cafe_field;

/* Frozen: a program that names a schema of the library has a copy of it, of the size that it knows. So have those that
 * name an aggregate, a saga or a view: these four types never grow, and have a reserved end for what is still to come.
 */
typedef struct cafe_schema {
  const char *name; /* events and commands: unique among all services, CamelCase */
  uint32_t width;   /* sizeof the struct */
  uint32_t field_count;
  const cafe_field *fields;
  const void *reserved[8];
} cafe_schema;

#define CAFE_FIELD_OF(number_, kind, struct_, member)                                                                  \
  {                                                                                                                    \
    (number_), CAFE_FIELD_##kind, 0, (uint32_t)offsetof(struct_, member), (uint32_t)sizeof(((struct_ *)0)->member), 0, \
        0, #member, NULL, NULL, {                                                                                      \
      NULL, NULL                                                                                                       \
    }                                                                                                                  \
  }
#define CAFE_FIELD_SECRET_OF(number_, kind, struct_, member)                                                           \
  {                                                                                                                    \
    (number_), CAFE_FIELD_##kind, CAFE_FIELD_SECRET, (uint32_t)offsetof(struct_, member),                              \
        (uint32_t)sizeof(((struct_ *)0)->member), 0, 0, #member, NULL, NULL, {                                         \
      NULL, NULL                                                                                                       \
    }                                                                                                                  \
  }
#define CAFE_FIELD_ENUM_OF(number_, struct_, member, names_)                                                           \
  {                                                                                                                    \
    (number_), CAFE_FIELD_ENUM, 0, (uint32_t)offsetof(struct_, member), (uint32_t)sizeof(((struct_ *)0)->member),      \
        (uint32_t)(sizeof(names_) / sizeof((names_)[0])), 0, #member, (names_), NULL, {                                \
      NULL, NULL                                                                                                       \
    }                                                                                                                  \
  }
#define CAFE_SCHEMA_OF(name_, struct_, fields_)                                                                        \
  {                                                                                                                    \
    (name_), (uint32_t)sizeof(struct_), (uint32_t)(sizeof(fields_) / sizeof((fields_)[0])), (fields_), { NULL }        \
  }

/* Checks a table: numbers, widths, names, offsets inside the struct. Hosting does it for all that it hosts; the other
 * functions here believe the table. CAFE_INVALID names the field; CAFE_UNSUPPORTED: a newer library is needed.
 * THREADSAFE. Since 0.1. */
CAFE_EXPORT int cafe_schema_check(const cafe_schema *schema, cafe_err *err);

/* The msgpack form: an array with field n at place n - 1, nil for an empty text or a zero of any other type; nil at the
 * end is left out. The bytes are in the arena: BORROW, until it is reset. CAFE_NOMEM; CAFE_INVALID for a value outside
 * its type. On one arena, one thread at a time. Since 0.1. */
CAFE_EXPORT int cafe_schema_encode(cafe_slice *out, cafe_arena *arena, const cafe_schema *schema, const void *value,
                                   cafe_err *err);

/* Reads it into *value (schema->width bytes, set whole). Places that the bytes lack are zero; places that the table
 * lacks are skipped, of whatever type. Texts point into bytes: BORROW, valid as long as they. CAFE_INVALID for
 * anything malformed, with value zeroed; reserves nothing. THREADSAFE. Since 0.1. */
CAFE_EXPORT int cafe_schema_decode(void *value, const cafe_schema *schema, cafe_slice bytes, cafe_err *err);

/* Copies the struct to *to (schema->width bytes), and its texts and bytes into the arena, each followed by a NUL that
 * its size doesn't count: BORROW, until the arena is reset. CAFE_OK or CAFE_NOMEM, with *to as it was. On one arena,
 * one thread at a time. Since 0.1. */
CAFE_EXPORT int cafe_schema_copy(void *to, const void *from, const cafe_schema *schema, cafe_arena *arena);

/* One field's value, whatever its type. Frozen. */
typedef struct cafe_value {
  const cafe_field *field;
  int64_t number;   /* BOOL, I64, TIME, ENUM; U64 too, since it is below 2^63 */
  cafe_slice bytes; /* TEXT, BYTES, and ENUM's name */
} cafe_value;

/* Reads field `index` (below field_count) of a struct. Its bytes BORROW: from the struct, or the field table (an ENUM's
 * name). THREADSAFE. Since 0.1. */
CAFE_EXPORT cafe_value cafe_schema_get(const cafe_schema *schema, const void *value, uint32_t index);

/* Writes field `index` (below field_count) of a struct from a cafe_value (its number, or its bytes; ENUM takes the name
 * if bytes has one). Texts BORROW: they must outlive the struct. CAFE_INVALID for a value outside the type, or a name
 * that is none, with the struct as it was. THREADSAFE. Since 0.1. */
CAFE_EXPORT int cafe_schema_set(void *value, const cafe_schema *schema, uint32_t index, const cafe_value *from,
                                cafe_err *err);

/* The index of the field with that name, or -1. THREADSAFE. Since 0.1. */
CAFE_EXPORT int cafe_schema_find(const cafe_schema *schema, cafe_slice name);

CAFE_END_DECLS

#endif
