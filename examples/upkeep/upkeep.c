/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an operator asks of a running shop, over HTTP: parse, call the library, print. Nobody is asked who he is, so who
 * reaches this address may do all of it: it is never one of those that customers call. Why something failed is told
 * here in full.
 */
#include "upkeep/upkeep.h"
#include "http/resource.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* 422 is for what the body holds, so that what the library doesn't do as things stand is told from it. */
static void fail(http_request *request, const cafe_err *err) {
  switch (err->code) {
  case CAFE_INVALID:
  case CAFE_CONFLICT:
  case CAFE_UNSUPPORTED:
    http_problem(request, HTTP_WRONG_STATE, "%s", err->text);
    return;
  case CAFE_NOT_FOUND:
  case CAFE_NOMEM:
  case CAFE_OVERLOADED:
    http_failure(request, err);
    return;
  default:
    http_problem(request, HTTP_NOT_READY, "%s", err->text);
  }
}

/* ---- POST /upkeep/backup ---- */

typedef struct backup {
  http_request *request;
  char *path;
} backup;

static void on_backup(const cafe_err *err, void *user) {
  const backup *self = user;
  if (err) {
    fail(self->request, err);
    return;
  }
  buffer *out = http_body(self->request);
  json_open(out, NULL, '{');
  json_string(out, "file", self->path);
  json_close(out, '}');
  http_send(self->request, 200);
}

static void make_backup(http_request *request) {
  const upkeep_config *config = request->config;
  const char *store = config->store_file ? config->store_file : "memory"; /* which the library refuses */
  char moment[40];
  time_t now = time(NULL);
  struct tm parts;
  cafe_op *op;
  cafe_err err = {0};
  (void)strftime(moment, sizeof moment, ".backup-%Y%m%dT%H%M%SZ", gmtime_r(&now, &parts));
  backup *self = cafe_arena_alloc(request->arena, sizeof *self);
  char *path = cafe_arena_alloc(request->arena, strlen(store) + sizeof moment);
  if (!self || !path) {
    http_problem(request, HTTP_OVERLOADED, "There is no memory for a backup");
    return;
  }
  (void)sprintf(path, "%s%s", store, moment);
  *self = (backup){request, path};
  if (cafe_node_backup(&op, request->node, path, on_backup, self, &err) != CAFE_OK) {
    fail(request, &err);
  } else {
    http_await(request, op, HTTP_UNTIL_DRAIN);
  }
}

/* ---- dead letters ---- */

/* The type of a letter's event; NULL: it is a guest's. */
static const cafe_schema *type_of(const cafe_dead_letter *letter) {
  static const cafe_aggregate *const known[] = {&cafe_order_aggregate, &cafe_payment_aggregate,
                                                &cafe_fulfillment_aggregate, &cafe_notification_aggregate};
  for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
    for (const cafe_schema *const *each = known[i]->events; *each; each++) {
      if (cafe_slice_equal(letter->aggregate, cafe_text(known[i]->name)) &&
          cafe_slice_equal(letter->event, cafe_text((*each)->name))) {
        return *each;
      }
    }
  }
  return NULL;
}

/* What no column shows as it is: null where the event's type isn't known, or the bytes aren't such an event. */
static void write_data(buffer *out, const cafe_dead_letter *letter) {
  const cafe_schema *type = type_of(letter);
  void *data = type ? calloc(1, type->width) : NULL;
  if (type && !data) {
    out->failed = true;
  } else if (data && cafe_schema_decode(data, type, letter->data, NULL) == CAFE_OK) {
    json_open(out, "data", '{');
    json_fields(out, type, data, NULL);
    json_close(out, '}');
  } else {
    json_string(out, "data", NULL);
  }
  free(data);
}

static void write_rest(buffer *out, const cafe_row *row, const cafe_page *page) {
  (void)page;
  const cafe_dead_letter *letter = row->data;
  cafe_position position = {(uint64_t)letter->log_id, (uint32_t)letter->shard, (uint64_t)letter->n};
  char token[CAFE_POSITION_TEXT_MAX];
  char href[80];
  cafe_position_format(token, &position);
  json_string(out, "position", token);
  write_data(out, letter);
  (void)snprintf(href, sizeof href, "/upkeep/letters/%" PRIu64 "-%" PRIu64, row->key, row->sub);
  http_link_self(out, href);
}

static const resource letters = {
    .view = &cafe_dead_letters_view,
    .path = "/upkeep/letters",
    .ids = (const char *const[]){"key", NULL},
    .hidden = (const char *const[]){"log_id", "shard", "n", "data", NULL},
    .filters = (const char *const[]){"state", "reader", "name", "event", NULL},
    .key_filter = "key",
    .sub_id = "letterId",
    .more = write_rest,
};

static void on_letter_ended(const cafe_err *err, void *user) {
  http_request *request = user;
  char id[48];
  if (err) {
    fail(request, err);
    return;
  }
  (void)snprintf(id, sizeof id, "%" PRIu64 "-%" PRIu64, request->id, request->sub);
  buffer *out = http_body(request);
  json_open(out, NULL, '{');
  json_string(out, "letterId", id);
  json_close(out, '}');
  http_send(request, 200);
}

static void submit_replay(http_request *request, const cafe_schema *type, const void *data) {
  cafe_replay wanted = CAFE_REPLAY_INIT;
  cafe_err err = {0};
  http_await(request, NULL, 0); /* the read is over; and what is half done has no answer, so this isn't canceled */
  wanted.key = request->id;
  wanted.letter = request->sub;
  wanted.event = type;
  wanted.data = data;
  wanted.data_size = type ? type->width : 0;
  if (cafe_node_replay_letter(NULL, request->node, &wanted, on_letter_ended, request, &err) != CAFE_OK) {
    fail(request, &err);
  }
}

/* All fields of an event, by the names that JSON gives them, for one that is edited; its currency first, by which an
 * amount is read. NULL: no memory. */
static const json_taken *fields_of(cafe_arena *arena, const cafe_schema *type) {
  json_taken *taken = cafe_arena_alloc(arena, (type->field_count + 1) * sizeof *taken);
  for (uint32_t i = 0; i < type->field_count && taken; i++) {
    char *name = cafe_arena_alloc(arena, JSON_NAME_MAX);
    if (!name) {
      return NULL;
    }
    json_name(name, &type->fields[i]);
    taken[i] = (json_taken){name, type->fields[i].name, false};
    if (strcmp(name, "currency") == 0) {
      json_taken first = taken[0];
      taken[0] = taken[i];
      taken[i] = first;
    }
  }
  return taken;
}

/* A name that is misspelled would leave the event as it was. */
static bool note_unknown(json_wrongs *wrongs, cafe_arena *arena, const json_object *object, const json_taken *taken) {
  for (uint32_t i = 0; i < object->count; i++) {
    const json_taken *each = taken;
    while (each->name && !cafe_slice_equal(object->members[i].name, cafe_text(each->name))) {
      each++;
    }
    cafe_slice name;
    if (!each->name && cafe_arena_copy(&name, arena, object->members[i].name) != CAFE_OK) {
      return false;
    }
    if (!each->name) {
      json_add_wrong(wrongs, name.data ? name.data : "", "is no field of this event");
    }
  }
  return true;
}

/* Of an event that can't be read nothing is known, so all of it has to be given. */
static void note_missing(json_wrongs *wrongs, const json_object *object, const json_taken *taken) {
  for (; taken->name; taken++) {
    if (!json_find(object, taken->name)) {
      json_add_wrong(wrongs, taken->name, "must be given, because the event can't be read");
    }
  }
}

static void replay_edited(http_request *request, const cafe_dead_letter *letter) {
  const cafe_schema *type = type_of(letter);
  void *data = type ? cafe_arena_alloc(request->arena, type->width) : NULL;
  bool is_known = data && cafe_schema_decode(data, type, letter->data, NULL) == CAFE_OK;
  const json_taken *taken = data ? fields_of(request->arena, type) : NULL;
  json_wrongs wrongs = {.count = 0};
  json_object object;
  if (!type) {
    http_problem(request, HTTP_WRONG_STATE, "Events of this type can't be edited here: only replayed as they are");
  } else if (!taken) {
    http_problem(request, HTTP_OVERLOADED, "There is no memory to edit the event");
  } else if (http_read_object(request, &object)) {
    if (!is_known) {
      memset(data, 0, type->width);
      note_missing(&wrongs, &object, taken);
    }
    json_take(data, type, &object, taken, &wrongs);
    if (!note_unknown(&wrongs, request->arena, &object, taken)) {
      http_problem(request, HTTP_OVERLOADED, "There is no memory to edit the event");
    } else if (wrongs.count) {
      http_wrong(request, &wrongs);
    } else {
      submit_replay(request, type, data);
    }
  }
}

static void on_letter(const cafe_err *err, const cafe_page *found, void *user) {
  http_request *request = user;
  if (err) {
    fail(request, err);
  } else if (found->count == 0) {
    http_problem(request, HTTP_NOT_FOUND, "There is no letter %" PRIu64 "-%" PRIu64, request->id, request->sub);
  } else {
    replay_edited(request, found->rows[0]->data);
  }
}

static void replay(http_request *request) {
  if (request->body.size == 0) {
    submit_replay(request, NULL, NULL);
  } else {
    resource_find(request, &letters, on_letter);
  }
}

typedef struct drop_letter {
  cafe_slice reason;
} drop_letter;

static const cafe_field drop_fields[] = {CAFE_FIELD_OF(1, TEXT, drop_letter, reason)};
static const cafe_schema drop_type = CAFE_SCHEMA_OF("DropLetter", drop_letter, drop_fields);
static const json_taken drop_taken[] = {{"reason", "reason", false}, {NULL, NULL, false}};

static void drop(http_request *request) {
  drop_letter wanted = {{NULL, 0}};
  json_wrongs wrongs = {.count = 0};
  cafe_slice reason;
  cafe_err err = {0};
  if (!http_read_json(request, &wanted, &drop_type, drop_taken, &wrongs)) {
    return;
  }
  if (cafe_arena_copy(&reason, request->arena, wanted.reason) != CAFE_OK) {
    http_problem(request, HTTP_OVERLOADED, "There is no memory to drop the letter");
    return;
  }
  if (!reason.data || !*reason.data) {
    json_add_wrong(&wrongs, "reason", "must say why: it goes to the log");
  }
  if (wrongs.count) {
    http_wrong(request, &wrongs);
  } else if (cafe_node_drop_letter(NULL, request->node, request->id, request->sub, reason.data, on_letter_ended,
                                   request, &err) != CAFE_OK) {
    fail(request, &err);
  }
}

/* ---- payments that were given up ---- */

/* With what /payments doesn't show: which operation it was, and what the gateway said. */
static const resource payments = {
    .view = &cafe_payments_view,
    .path = "/upkeep/payments",
    .ids = (const char *const[]){"paymentId", "orderId", NULL},
    .key_filter = "orderId",
    .only = {.column = "status", .equals = {"Failed", sizeof "Failed" - 1}},
};

static void judge_retry(http_verdict *out, const cafe_outcome *outcome) {
  if (outcome->verdict == CAFE_REFUSED) {
    http_judge_problem(out, HTTP_WRONG_STATE, outcome, outcome->text);
    return;
  }
  out->status = 200;
  json_open(&out->body, NULL, '{');
  json_integer(&out->body, "paymentId", (int64_t)outcome->key);
  json_close(&out->body, '}');
}

static void answer_retry(http_request *request, const cafe_outcome *outcome, http_verdict *verdict) {
  (void)outcome;
  http_send_verdict(request, verdict);
}

static const json_taken retry_taken[] = {{"reason", "reason", false}, {NULL, NULL, false}};
static const http_command retry_command = {
    &cafe_retry_payment_type, sizeof(cafe_retry_payment), retry_taken, judge_retry, answer_retry, NULL};

static void retry(http_request *request) {
  cafe_retry_payment wanted = {{NULL, 0}};
  if (http_read_optional(request, &wanted, &cafe_retry_payment_type, retry_taken)) {
    http_submit(request, &retry_command, request->id, &wanted, HTTP_READ_TIMEOUT_MS, NULL);
  }
}

/* ---- POST /upkeep/views/{view}/rebuild, verify ---- */

static const cafe_view *view_of(const http_request *request) {
  static const cafe_view *const known[] = {&cafe_orders_view, &cafe_payments_view, &cafe_fulfillments_view,
                                           &cafe_notifications_view, &cafe_order_infos_view};
  for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
    if (cafe_slice_equal(request->view, cafe_text(known[i]->name))) {
      return known[i];
    }
  }
  return NULL;
}

static void on_rebuilt(const cafe_err *err, const cafe_rebuild_report *report, void *user) {
  http_request *request = user;
  if (err) {
    fail(request, err);
    return;
  }
  buffer *out = http_body(request);
  json_open(out, NULL, '{');
  json_integer(out, "events", (int64_t)report->events);
  json_integer(out, "rows", (int64_t)report->rows);
  json_close(out, '}');
  http_send(request, 200);
}

static void on_verified(const cafe_err *err, const cafe_rebuild_report *report, void *user) {
  http_request *request = user;
  if (err) {
    fail(request, err);
    return;
  }
  buffer *out = http_body(request);
  json_open(out, NULL, '{');
  json_integer(out, "events", (int64_t)report->events);
  json_integer(out, "rows", (int64_t)report->rows);
  json_integer(out, "differing", (int64_t)report->differing);
  json_integer(out, "missing", (int64_t)report->missing);
  json_integer(out, "surplus", (int64_t)report->surplus);
  if (report->first_key) {
    json_integer(out, "firstKey", (int64_t)report->first_key);
  } else {
    json_string(out, "firstKey", NULL);
  }
  json_close(out, '}');
  http_send(request, 200);
}

static void work_on_view(http_request *request,
                         int (*begin)(cafe_op **, cafe_node *, const cafe_view *, cafe_rebuild_cb, void *, cafe_err *),
                         cafe_rebuild_cb done) {
  const cafe_view *view = view_of(request);
  cafe_op *op;
  cafe_err err = {0};
  if (!view) {
    http_problem(request, HTTP_NOT_FOUND, "There is no view %.*s", (int)request->view.size, request->view.data);
  } else if (begin(&op, request->node, view, done, request, &err) != CAFE_OK) {
    fail(request, &err);
  } else {
    http_await(request, op, HTTP_UNTIL_DRAIN);
  }
}

static void rebuild_view(http_request *request) { work_on_view(request, cafe_node_rebuild, on_rebuilt); }

static void verify_view(http_request *request) { work_on_view(request, cafe_node_verify, on_verified); }

/* ---- POST /upkeep/forget ---- */

typedef struct forget {
  int64_t before_ms;
} forget;

static const cafe_field forget_fields[] = {CAFE_FIELD_OF(1, TIME, forget, before_ms)};
static const cafe_schema forget_type = CAFE_SCHEMA_OF("Forget", forget, forget_fields);
static const json_taken forget_taken[] = {{"notificationsBefore", "before_ms", false}, {NULL, NULL, false}};

static void on_forgotten(const cafe_err *err, uint64_t count, void *user) {
  http_request *request = user;
  if (err) {
    fail(request, err);
    return;
  }
  buffer *out = http_body(request);
  json_open(out, NULL, '{');
  json_integer(out, "notifications", (int64_t)count);
  json_close(out, '}');
  http_send(request, 200);
}

static void forget_rows(http_request *request) {
  forget wanted = {0};
  json_wrongs wrongs = {.count = 0};
  cafe_op *op;
  cafe_err err = {0};
  if (!http_read_json(request, &wanted, &forget_type, forget_taken, &wrongs)) {
    return;
  }
  if (wrongs.count == 0 && wanted.before_ms == 0) {
    json_add_wrong(&wrongs, "notificationsBefore", "must be a time");
  }
  if (wrongs.count) {
    http_wrong(request, &wrongs);
    return;
  }
  int code = cafe_node_forget_rows(&op, request->node, &cafe_notifications_view, wanted.before_ms, on_forgotten, request,
                                   &err);
  if (code == CAFE_INVALID) {
    http_wrong_field(request, "notificationsBefore", err.text);
  } else if (code != CAFE_OK) {
    fail(request, &err);
  } else {
    http_await(request, op, HTTP_UNTIL_DRAIN);
  }
}

static const http_route routes[] = {
    {"POST", "/upkeep/backup", make_backup, NULL},
    {"GET", "/upkeep/letters", resource_list, &letters},
    {"GET", "/upkeep/letters/{id}-{sub}", resource_get, &letters},
    {"POST", "/upkeep/letters/{id}-{sub}/replay", replay, NULL},
    {"POST", "/upkeep/letters/{id}-{sub}/drop", drop, NULL},
    {"GET", "/upkeep/payments", resource_list, &payments},
    {"GET", "/upkeep/payments/{id}", resource_get, &payments},
    {"POST", "/upkeep/payments/{id}/retry", retry, NULL},
    {"POST", "/upkeep/views/{view}/rebuild", rebuild_view, NULL},
    {"POST", "/upkeep/views/{view}/verify", verify_view, NULL},
    {"POST", "/upkeep/forget", forget_rows, NULL},
    {NULL, NULL, NULL, NULL},
};

const http_service upkeep_service = {"upkeep", routes, &cafe_dead_letters_view};
