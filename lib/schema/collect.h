/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SCHEMA_COLLECT_H
#define SCHEMA_COLLECT_H

#include "cafe/policy.h"
#include "schema/codec.h"

/* The three collectors that pure functions are handed: cafe_decision, cafe_reaction, cafe_tasks. What is collected
 * lives in the arena, complete with texts, in the order in which it was said. A failure is kept in err; nothing is
 * added after it. Each is the owner's memory; its collector begins by collector_init. */

typedef struct collected {
  struct collected *next;
  const cafe_schema *type;
  const void *data;      /* a copy: the struct, its texts too */
  codec_measure measure; /* of data: it was checked, and needn't be once more */
  uint64_t key;          /* reactions */
  uint32_t id;           /* tasks */
  int64_t not_before_ms; /* tasks */
} collected;

typedef struct collector {
  cafe_arena *arena;
  collected *first;
  collected *last;
  uint32_t count;
  cafe_err err; /* code 0: none */
} collector;

/* Nothing is said yet. err's text isn't cleared: it means nothing while there is no code, and is most of the bytes. */
static inline void collector_init(collector *out, cafe_arena *arena) {
  out->arena = arena;
  out->first = out->last = NULL;
  out->count = 0;
  out->err.code = out->err.detail = 0;
}

/* The failure that was kept, or CAFE_INVALID where owner said what isn't listed (up to a NULL). err may be NULL. */
int collector_check(const collector *from, const cafe_schema *const *listed, const char *owner, cafe_err *err);

struct cafe_decision {
  collector events;
  const char *reason; /* of the refusal; NULL */
  const char *text;
};

/* What no definition shows before it is asked: a verdict that is none, or that doesn't go with what was emitted.
 * CAFE_INVALID says what to do. */
int decision_check(const cafe_decision *decision, cafe_verdict verdict, const cafe_command_type *type, cafe_err *err);

struct cafe_reaction {
  collector commands;
};

struct cafe_tasks {
  collector wanted;
};

/* Data as a program handed it in, of `size` bytes, as this library's schema has it: data itself, or a copy of the
 * struct in the arena; texts as they are. By the rule in schema.h. CAFE_NOMEM, CAFE_INVALID, CAFE_UNSUPPORTED. */
int schema_take(const void **out, const cafe_schema *schema, const void *data, size_t size, cafe_arena *arena,
                cafe_err *err);

/* A callback of a definition failed by `code`: fills err with what is formatted, followed by ": " and why (NULL: the
 * code's name), and returns the code as it goes on, by what aggregate.h says of it. */
int callback_failed(cafe_err *err, int code, const char *why, const char *format, ...) CAFE_PRINTF(4, 5);

#endif
