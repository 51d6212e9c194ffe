/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HTTP_JSON_H
#define HTTP_JSON_H

#include "cafe/alloc.h"
#include "cafe/schema.h"
#include "http/buffer.h"

bool json_is_utf8(cafe_slice bytes);

/* ---- reading ---- */

typedef enum json_kind {
  JSON_NULL = 1,
  JSON_BOOL = 2,
  JSON_NUMBER = 3,
  JSON_STRING = 4,
  JSON_OTHER = 5 /* an array or an object: nothing here takes one */
} json_kind;

typedef struct json_member {
  cafe_slice name;
  json_kind kind;
  cafe_slice text; /* a string's characters; otherwise the value as it stood in the source */
} json_member;

typedef struct json_object {
  bool is_object; /* the text was JSON, but of another kind */
  uint32_t count;
  json_member *members; /* ascending by name */
} json_object;

/* Reads one JSON text. Members point into bytes or the arena: BORROW. CAFE_INVALID: it isn't JSON (RFC 8259), isn't
 * UTF-8, or names a member twice; CAFE_NOMEM. */
int json_read(json_object *out, cafe_arena *arena, cafe_slice bytes, cafe_err *err);

/* The member of that name, NULL where there is none, or it is null. */
const json_member *json_find(const json_object *object, const char *name);

/* A member that a struct takes, and where. */
typedef struct json_taken {
  const char *name;  /* in the request; NULL ends a table */
  const char *field; /* of the schema */
  bool is_any_text;  /* a number is taken for a text too */
} json_taken;

/* What was wrong with one field. */
typedef struct json_wrong {
  const char *field; /* in the request */
  const char *message;
} json_wrong;

enum { JSON_WRONG_MAX = 24 };

typedef struct json_wrongs {
  json_wrong items[JSON_WRONG_MAX];
  uint32_t count;
  const char *muted; /* a field of which nothing is added; or NULL */
} json_wrongs;

/* BORROW both; the first one for a field stands. */
void json_add_wrong(json_wrongs *wrongs, const char *field, const char *message);
bool json_is_wrong(const json_wrongs *wrongs, const char *field);

/* Puts an object's members into a struct, and says what has the wrong form; values are judged by the domain. Numbers
 * may be strings. An amount ("…_minor") is read from its source text, with the decimals of the field `currency`, so
 * that one must stand before it in `taken`; a moment is read by moment_parse. */
void json_take(void *value, const cafe_schema *schema, const json_object *object, const json_taken *taken,
               json_wrongs *wrongs);

/* ---- writing: each adds a comma where one is due ---- */

void json_open(buffer *out, const char *name, char bracket); /* name NULL: no member, but an element or the whole */
void json_close(buffer *out, char bracket);
void json_text(buffer *out, const char *name, cafe_slice text);
void json_string(buffer *out, const char *name, const char *text); /* NULL: null */
void json_integer(buffer *out, const char *name, int64_t number);
void json_moment(buffer *out, const char *name, int64_t ms); /* 0: null */

enum { JSON_NAME_MAX = 64 };

/* The member's name of a field: product_id → productId, pickup_time_ms → pickupTime, amount_minor → amount,
 * captured_minor → capturedAmount. */
void json_name(char out[JSON_NAME_MAX], const cafe_field *field);

/* Adds a struct's fields as members, but for those of `hidden` (ended by NULL; or NULL) and secrets. Empty texts, no
 * moment, and an enum's 0 are null. Money is a decimal number by the field `currency`. */
void json_fields(buffer *out, const cafe_schema *schema, const void *value, const char *const *hidden);

#endif
