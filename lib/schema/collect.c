/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What a pure function says is copied at once, texts too: what it said stays said, whatever becomes of the memory it
 * spoke from. The first failure is kept and ends the collecting, so that a decision is taken whole or fails whole; who
 * owns the collector looks at err before at anything else.
 */
#include "schema/collect.h"

#include <assert.h>
#include <stdarg.h>
#include <string.h>

#include "base/arena.h"
#include "base/sized.h"
#include "base/str.h"
#include "schema/codec.h"

/* A newer library's fields begin behind what an older one had, so no struct ends inside of one: the size is of
 * something else, a pointer most likely. */
static const cafe_field *find_cut(const cafe_schema *schema, size_t size) {
  for (uint32_t i = 0; i < schema->field_count; i++) {
    const cafe_field *field = &schema->fields[i];
    if (field->offset < size && size - field->offset < field->width) {
      return field;
    }
  }
  return NULL;
}

int schema_take(const void **out, const cafe_schema *schema, const void *data, size_t size, cafe_arena *arena,
                cafe_err *err) {
  *out = data;
  if (size == schema->width) {
    return CAFE_OK;
  }
  if (size == 0) {
    return cafe_fail(err, CAFE_INVALID, "%s: its data has a size of 0: hand in sizeof the struct", schema->name);
  }
  if (size > schema->width) {
    return is_zero((const char *)data + schema->width, size - schema->width)
               ? CAFE_OK
               : cafe_fail(err, CAFE_UNSUPPORTED,
                           "%s: its data has %zu bytes, of which this library knows %u: use a "
                           "newer one",
                           schema->name, size, (unsigned)schema->width);
  }
  const cafe_field *cut = find_cut(schema, size);
  if (cut) {
    return cafe_fail(err, CAFE_INVALID, "%s: its data has %zu bytes, which end inside %s: hand in sizeof the struct",
                     schema->name, size, cut->name);
  }
  void *whole = cafe_arena_alloc(arena, schema->width);
  if (!whole) {
    return cafe_fail(err, CAFE_NOMEM, "%s: no memory to take it", schema->name);
  }
  memcpy(whole, data, size);
  *out = whole;
  return CAFE_OK;
}

static collected *add(collector *to, const cafe_schema *type, const void *data, size_t size) {
  assert(type && data);
  codec_measure measure;
  if (to->err.code || schema_take(&data, type, data, size, to->arena, &to->err) ||
      codec_check(&measure, type, data, &to->err)) {
    return NULL;
  }
  collected *item = cafe_arena_alloc(to->arena, sizeof(*item));
  void *copy = arena_take(to->arena, type->width);
  if (!item || !copy || codec_copy(copy, data, type, measure.texts, to->arena)) {
    cafe_fail(&to->err, CAFE_NOMEM, "%s: no memory to keep it", type->name);
    return NULL;
  }
  item->type = type;
  item->data = copy;
  item->measure = measure;
  if (to->last) {
    to->last->next = item;
  } else {
    to->first = item;
  }
  to->last = item;
  to->count++;
  return item;
}

int collector_check(const collector *from, const cafe_schema *const *listed, const char *owner, cafe_err *err) {
  if (from->err.code) {
    if (err) {
      *err = from->err;
    }
    return from->err.code;
  }
  for (const collected *item = from->first; item; item = item->next) {
    const cafe_schema *const *at = listed;
    while (*at && *at != item->type) {
      at++;
    }
    if (!*at) {
      return cafe_fail(err, CAFE_INVALID, "%s asks for %s, which it doesn't list: add it", owner, item->type->name);
    }
  }
  return CAFE_OK;
}

int decision_check(const cafe_decision *decision, cafe_verdict verdict, const cafe_command_type *type, cafe_err *err) {
  const char *command = type->command->name;
  if (verdict < CAFE_ACCEPTED || verdict > CAFE_REFUSED) {
    return cafe_fail(err, CAFE_INVALID, "%s was decided as %d, which is no cafe_verdict", command, (int)verdict);
  }
  if (verdict == CAFE_PENDING && !type->outcomes) {
    return cafe_fail(err, CAFE_INVALID, "%s is pending, but lists no outcomes: name the events that answer it",
                     command);
  }
  if (verdict == CAFE_REFUSED && !decision->reason) {
    return cafe_fail(err, CAFE_INVALID, "%s was refused without a reason: return cafe_refuse(…)", command);
  }
  if (verdict == CAFE_ACCEPTED && !decision->events.first) {
    return cafe_fail(err, CAFE_INVALID, "%s was accepted without an event: emit one, or return CAFE_UNCHANGED",
                     command);
  }
  if (verdict == CAFE_UNCHANGED && decision->events.first) {
    return cafe_fail(err, CAFE_INVALID, "%s emitted %s, but changes nothing: return CAFE_ACCEPTED", command,
                     decision->events.first->type->name);
  }
  return CAFE_OK;
}

void cafe_emit(cafe_decision *decision, const cafe_schema *type, const void *data, size_t size) {
  add(&decision->events, type, data, size);
}

cafe_verdict cafe_refuse(cafe_decision *decision, const char *reason, const char *format, ...) {
  va_list args;
  va_start(args, format);
  const char *text = arena_vprintf(decision->events.arena, format, args);
  va_end(args);
  cafe_slice kept = {NULL, 0};
  if (text && cafe_arena_copy(&kept, decision->events.arena, cafe_text(reason)) == CAFE_OK) {
    decision->reason = kept.data;
    decision->text = text;
  } else if (!decision->events.err.code) {
    cafe_fail(&decision->events.err, CAFE_NOMEM, "no memory to say why it is refused: %s", reason);
  }
  return CAFE_REFUSED;
}

/* What was said before counts for nothing then, so it needn't be forgotten. */
static void CAFE_PRINTF(3, 0) keep_failure(collector *to, cafe_code code, const char *format, va_list args) {
  if (to->err.code) {
    return;
  }
  char text[sizeof(to->err.text)];
  str_format(text, sizeof(text), format, args);
  cafe_fail(&to->err, code == CAFE_OK ? CAFE_INVALID : code, "%s", text);
}

cafe_verdict cafe_decision_fail(cafe_decision *decision, cafe_code code, const char *format, ...) {
  va_list args;
  va_start(args, format);
  keep_failure(&decision->events, code, format, args);
  va_end(args);
  return CAFE_REFUSED;
}

void cafe_reaction_fail(cafe_reaction *out, cafe_code code, const char *format, ...) {
  va_list args;
  va_start(args, format);
  keep_failure(&out->commands, code, format, args);
  va_end(args);
}

void cafe_tasks_fail(cafe_tasks *out, cafe_code code, const char *format, ...) {
  va_list args;
  va_start(args, format);
  keep_failure(&out->wanted, code, format, args);
  va_end(args);
}

/* The library says CAFE_CONFLICT of another writer, and decides again at once; CAFE_CANCELED of its own closing, which
 * it doesn't log. A callback means neither. */
int callback_failed(cafe_err *err, int code, const char *why, const char *format, ...) {
  char text[sizeof(err->text)];
  bool is_own = code == CAFE_CONFLICT || code == CAFE_CANCELED || code <= CAFE_OK || code > CAFE_DENIED;
  va_list args;
  va_start(args, format);
  str_format(text, sizeof(text), format, args);
  va_end(args);
  return cafe_fail(err, is_own ? CAFE_INVALID : (cafe_code)code, "%s: %s", text, why ? why : cafe_code_name(code));
}

void cafe_react(cafe_reaction *out, const cafe_schema *command, uint64_t key, const void *data, size_t size) {
  if (!out->commands.err.code && (key == 0 || key > CAFE_KEY_MAX)) {
    cafe_fail(&out->commands.err, CAFE_INVALID, "%s: its key must be from 1 to 2^53 - 1", command->name);
  }
  collected *item = add(&out->commands, command, data, size);
  if (item) {
    item->key = key;
  }
}

void cafe_want(cafe_tasks *out, uint32_t id, const cafe_schema *type, const void *data, size_t size,
               int64_t not_before_ms) {
  collected *item = add(&out->wanted, type, data, size);
  if (item) {
    item->id = id;
    item->not_before_ms = not_before_ms;
  }
}
