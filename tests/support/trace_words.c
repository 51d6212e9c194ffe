/* SPDX-License-Identifier: Apache-2.0 */

/*
 * How events, rows and messages read. Everything is told from its field table, so that a new field of a kind that is
 * told already shows by itself; what an order consists of is left out, since it stands in the command.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "domain/rules.h"
#include "saga/coordinator.h"
#include "trace.h"

enum { WIDEST = 1024 }; /* bytes of the largest event's struct */

static int64_t zero_ms;

void trace_words_begin(int64_t utc_ms) { zero_ms = utc_ms; }

void trace_add(trace_text *out, const char *format, ...) {
  va_list args;
  va_start(args, format);
  out->size += str_format(out->text + out->size, sizeof(out->text) - out->size, format, args);
  va_end(args);
}

const char *trace_time(char out[24], int64_t utc_ms) {
  snprintf(out, 24, "%lld", (long long)(utc_ms - zero_ms));
  return out;
}

/* ---- events ---- */

static const cafe_schema *find_event(const char *name) {
  static const cafe_aggregate *const all[] = {&cafe_order_aggregate, &cafe_payment_aggregate,
                                              &cafe_fulfillment_aggregate, &cafe_notification_aggregate};
  for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
    for (const cafe_schema *const *type = all[i]->events; *type; type++) {
      if (strcmp((*type)->name, name) == 0) {
        return *type;
      }
    }
  }
  fail_msg("no aggregate emits %s", name);
  return NULL;
}

static bool is_money(const char *event) {
  return strncmp(event, "Payment", 7) == 0 || strncmp(event, "Refund", 6) == 0 || strncmp(event, "Capture", 7) == 0;
}

/* How a field reads by its name; the rest isn't told. */
static const struct {
  const char *field;
  const char *format;
} readings[] = {
    {"channel", ", on %s"},
    {"event", " %s"},
    {"reason", ", \"%s\""},
    {"text", ", \"%s\""},
};

static const char *reading_of(const cafe_field *field) {
  if (field->type == CAFE_FIELD_ENUM) {
    return field->names == rules_cancel_by_names ? ", by the %s" : ", %s";
  }
  for (size_t i = 0; i < sizeof(readings) / sizeof(readings[0]); i++) {
    if (strcmp(readings[i].field, field->name) == 0) {
      return readings[i].format;
    }
  }
  return NULL;
}

static void add_text(trace_text *out, const cafe_value *value) {
  const char *format = reading_of(value->field);
  char text[256];
  if (!format || !value->bytes.size) {
    return;
  }
  snprintf(text, sizeof(text), "%.*s", (int)value->bytes.size, value->bytes.data);
  const char *at = strstr(format, "%s");
  trace_add(out, "%.*s%s%s", (int)(at - format), format, text, at + 2);
}

static void add_number(trace_text *out, const char *event, const cafe_value *value) {
  const char *name = value->field->name;
  char time[24];
  if (value->field->type == CAFE_FIELD_BOOL && value->number && strcmp(name, "is_tombstone") == 0) {
    trace_add(out, ", a tombstone");
  } else if (strcmp(name, "wait_until_ms") == 0) {
    trace_add(out, ", waits until %s", trace_time(time, value->number));
  } else if (strcmp(name, "number") == 0) {
    trace_add(out, " %lld", (long long)value->number);
  } else if (strcmp(name, "attempts") == 0) {
    trace_add(out, value->number == 1 ? ", 1 attempt" : ", %lld attempts", (long long)value->number);
  } else if (strcmp(name, "amount_minor") == 0 && is_money(event)) {
    trace_add(out, ", %lld", (long long)value->number);
  }
}

void trace_event(trace_text *out, const char *type, cafe_slice data) {
  const cafe_schema *schema = find_event(type);
  _Alignas(16) char value[WIDEST];
  cafe_err err;
  assert_true(schema->width <= sizeof(value));
  if (cafe_schema_decode(value, schema, data, &err)) {
    fail_msg("%s: %s", type, err.text);
  }
  trace_add(out, "%s", type);
  for (uint32_t i = 0; i < schema->field_count; i++) {
    cafe_value field = cafe_schema_get(schema, value, i);
    switch (field.field->type) {
    case CAFE_FIELD_ENUM:
    case CAFE_FIELD_TEXT:
      add_text(out, &field);
      break;
    default:
      add_number(out, type, &field);
    }
  }
}

/* ---- rows ---- */

static bool is_status(const cafe_field *field) {
  size_t size = strlen(field->name);
  return field->type == CAFE_FIELD_ENUM && size >= 6 && strcmp(field->name + size - 6, "status") == 0;
}

void trace_row(trace_text *out, const cafe_schema *row, const void *data) {
  const char *between = "";
  for (uint32_t i = 0; i < row->field_count; i++) {
    cafe_value value = cafe_schema_get(row, data, i);
    if (is_status(value.field)) {
      trace_add(out, "%s%.*s", between, value.bytes.size ? (int)value.bytes.size : 1,
                value.bytes.size ? value.bytes.data : "-");
      between = " ";
    }
  }
}

void trace_saga(trace_text *out, const void *data) {
  const saga_row *row = data;
  cafe_value phase =
      cafe_schema_get(&saga_row_type, row, (uint32_t)cafe_schema_find(&saga_row_type, cafe_text("phase")));
  char time[24];
  trace_add(out, "%.*s", (int)phase.bytes.size, phase.bytes.data);
  if (row->steps.size) {
    trace_add(out, ": %.*s", (int)row->steps.size, row->steps.data);
  }
  if (row->guard.size) {
    trace_add(out, ", guard of %.*s", (int)row->guard.size, row->guard.data);
  }
  if (row->attempt > 1) {
    trace_add(out, ", attempt %lld", (long long)row->attempt);
  }
  if (row->due_ms) {
    trace_add(out, ", due at %s", trace_time(time, row->due_ms));
  }
}

/* ---- between nodes ---- */

/* The first fields of what lib/engine/request.c sends; a table may end earlier than what it reads. */
typedef struct wire {
  int64_t version;
  cafe_slice command;
  uint64_t key;
} wire;
typedef struct wire_reply {
  int64_t version;
  int64_t verdict;
  cafe_slice reason;
  cafe_slice text;
  cafe_slice event;
} wire_reply;

static const cafe_field wire_fields[] = {
    CAFE_FIELD_OF(1, I64, wire, version),
    CAFE_FIELD_OF(2, TEXT, wire, command),
    CAFE_FIELD_OF(3, U64, wire, key),
};
static const cafe_field wire_reply_fields[] = {
    CAFE_FIELD_OF(1, I64, wire_reply, version), CAFE_FIELD_OF(2, I64, wire_reply, verdict),
    CAFE_FIELD_OF(3, TEXT, wire_reply, reason), CAFE_FIELD_OF(4, TEXT, wire_reply, text),
    CAFE_FIELD_OF(5, TEXT, wire_reply, event),
};
static const cafe_schema wire_type = CAFE_SCHEMA_OF("wire", wire, wire_fields);
static const cafe_schema wire_reply_type = CAFE_SCHEMA_OF("wire_reply", wire_reply, wire_reply_fields);

void trace_request(trace_text *out, cafe_slice body) {
  wire request;
  assert_int_equal(cafe_schema_decode(&request, &wire_type, body, NULL), CAFE_OK);
  trace_add(out, "%.*s %llu", (int)request.command.size, request.command.data, (unsigned long long)request.key);
}

void trace_reply(trace_text *out, cafe_slice body) {
  static const char *const verdicts[] = {"?", "accepted", "unchanged", "pending", "refused"};
  wire_reply reply;
  assert_int_equal(cafe_schema_decode(&reply, &wire_reply_type, body, NULL), CAFE_OK);
  trace_add(out, "%s", verdicts[reply.verdict >= 0 && reply.verdict <= CAFE_REFUSED ? reply.verdict : 0]);
  cafe_slice why = reply.event.size ? reply.event : reply.reason;
  if (why.size) {
    trace_add(out, ", %.*s", (int)why.size, why.data);
  }
}

const char *trace_operation(cafe_payment_operation operation) {
  static const char *const names[] = {"none", "authorize", "capture", "void", "refund"};
  return names[operation];
}
