/* SPDX-License-Identifier: Apache-2.0 */
#include "house.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cafe/store/memory.h"
#include "cafe/sys/store.h"
#include "cafe/sys/transport.h"
#include "cafe/testing/faults.h"

/* ---- what is said ---- */

typedef struct words {
  int64_t n;
} words;
static const cafe_field words_fields[] = {CAFE_FIELD_OF(1, I64, words, n)};
static const cafe_schema say_type[] = {CAFE_SCHEMA_OF("SayEast", words, words_fields),
                                       CAFE_SCHEMA_OF("SayWest", words, words_fields)};
static const cafe_schema said_type[] = {CAFE_SCHEMA_OF("EastSaid", words, words_fields),
                                        CAFE_SCHEMA_OF("WestSaid", words, words_fields)};

typedef struct speaker {
  int64_t times;
} speaker;
static const cafe_field speaker_fields[] = {CAFE_FIELD_OF(1, I64, speaker, times)};
static const cafe_schema speaker_type = CAFE_SCHEMA_OF("Speaker", speaker, speaker_fields);

static cafe_verdict decide(cafe_decision *out, const void *state, const cafe_command *command, void *user) {
  (void)state, (void)user;
  cafe_emit(out, command->type == &say_type[HOUSE_EAST] ? &said_type[HOUSE_EAST] : &said_type[HOUSE_WEST],
            command->data, sizeof(words));
  return CAFE_ACCEPTED;
}

static int evolve(void *state, const cafe_event *event, cafe_arena *arena, void *user) {
  (void)event, (void)arena, (void)user;
  ((speaker *)state)->times++;
  return CAFE_OK;
}

#define SPEAKER(which, its_name)                                                                                       \
  static const cafe_schema *const which##_events[] = {&said_type[HOUSE_##which], NULL};                                \
  static const cafe_command_type which##_commands[] = {{&say_type[HOUSE_##which], NULL}, {NULL, NULL}};                \
  static const cafe_aggregate which##_aggregate = {.size = CAFE_AGGREGATE,                                             \
                                                   .name = its_name,                                                   \
                                                   .state = &speaker_type,                                             \
                                                   .events = which##_events,                                           \
                                                   .commands = which##_commands,                                       \
                                                   .decide = decide,                                                   \
                                                   .evolve = evolve};                                                  \
  static const cafe_aggregate *const which##_aggregates[] = {&which##_aggregate, NULL};                                \
  static const cafe_service which##_service = {.size = CAFE_SERVICE, .name = its_name, .aggregates = which##_aggregates}

SPEAKER(EAST, "east");
SPEAKER(WEST, "west");

static const cafe_field row_fields[] = {CAFE_FIELD_OF(1, I64, house_row, east), CAFE_FIELD_OF(2, I64, house_row, west)};
static const cafe_schema row_type = CAFE_SCHEMA_OF("HouseRow", house_row, row_fields);

static int log_of(const cafe_event *event) { return event->type == &said_type[HOUSE_EAST] ? HOUSE_EAST : HOUSE_WEST; }

static int fold(cafe_fold *out, void *row, const cafe_event *event, cafe_arena *arena, void *user) {
  house_row *self = row;
  (void)out, (void)arena, (void)user;
  *(log_of(event) == HOUSE_EAST ? &self->east : &self->west) += 1;
  return CAFE_OK;
}

static const char *const sources[] = {"east", "west", NULL};
static const cafe_schema *const all_events[] = {&said_type[HOUSE_EAST], &said_type[HOUSE_WEST], NULL};
static const cafe_view board_view = {.size = CAFE_VIEW,
                                     .name = "board",
                                     .version = 1,
                                     .sources = sources,
                                     .events = all_events,
                                     .key_name = "house_key",
                                     .row = &row_type,
                                     .fold = fold};
static const cafe_view *const board_views[] = {&board_view, NULL};
static const cafe_aggregate *const all_aggregates[] = {&EAST_aggregate, &WEST_aggregate, NULL};
static const cafe_service board_service = {
    .size = CAFE_SERVICE, .name = "board", .views = board_views, .remotes = all_aggregates, .remote_services = sources};

/* ---- the nodes ---- */

typedef struct resident {
  house *house;
  int which;
  failing_alloc memory;
  cafe_loop *loop;
  cafe_store *inner, *store;
  cafe_transport *transport;
  cafe_node *node;
} resident;

struct house {
  cafe_loop *world;
  cafe_inproc *hub;
  bool is_mixed, is_threaded;
  resident residents[HOUSE_NODES];
  cafe_transport_ops counted; /* the board's transport's */
  const cafe_transport_ops *own;
  uint32_t links, subscribed;
};

/* The one whose board's transport is counted. */
static house *counting;

static int count_subscribe(cafe_transport *self, cafe_link *link, cafe_err *err) {
  int code = counting->own->subscribe(self, link, err);
  counting->links += code == CAFE_OK;
  counting->subscribed += code == CAFE_OK;
  return code;
}

static void count_unsubscribe(cafe_transport *self, cafe_link *link) {
  counting->links--;
  counting->own->unsubscribe(self, link);
}

static void make_store(resident *r) {
  cafe_memory_options options = CAFE_MEMORY_OPTIONS_INIT;
  options.is_threaded = r->house->is_threaded;
  assert_int_equal(cafe_memory_create(&r->inner, &options, NULL), CAFE_OK);
  assert_int_equal(cafe_faulty_store_create(&r->store, r->inner, NULL, NULL), CAFE_OK);
}

house *house_create(uint64_t seed, int64_t job_max_us, bool is_mixed) {
  cafe_sim_options options = CAFE_SIM_OPTIONS_INIT;
  house *h = calloc(1, sizeof *h);
  assert_non_null(h);
  options.job_max_us = job_max_us;
  h->is_threaded = job_max_us > 0;
  h->is_mixed = is_mixed;
  assert_int_equal(cafe_sim_create(&h->world, seed, &options, NULL), CAFE_OK);
  assert_int_equal(cafe_inproc_create(&h->hub, h->world, NULL, NULL), CAFE_OK);
  for (int i = 0; i < HOUSE_NODES; i++) {
    resident *r = &h->residents[i];
    r->house = h;
    r->which = i;
    failing_alloc_init(&r->memory);
    make_store(r);
    if (!is_mixed || i != HOUSE_EAST)
      assert_int_equal(cafe_inproc_join(&r->transport, h->hub, NULL), CAFE_OK);
  }
  cafe_transport *board = h->residents[HOUSE_BOARD].transport;
  counting = h;
  h->own = board->ops;
  h->counted = *board->ops;
  h->counted.subscribe = count_subscribe;
  h->counted.unsubscribe = count_unsubscribe;
  board->ops = &h->counted;
  return h;
}

void house_destroy(house *h) {
  for (int i = 0; i < HOUSE_NODES; i++)
    if (h->residents[i].node)
      house_stop(h, i);
  assert_int_equal(h->links, 0);
  for (int i = 0; i < HOUSE_NODES; i++) {
    resident *r = &h->residents[i];
    failing_alloc_end(&r->memory);
    cafe_store_destroy(r->store);
    cafe_store_destroy(r->inner);
    cafe_transport_destroy(r->transport);
  }
  cafe_inproc_destroy(h->hub);
  cafe_loop_destroy(h->world);
  free(h);
}

/* Where a mixed house has the east. */
static resident *resident_of(house *h, int which) {
  return &h->residents[h->is_mixed && which == HOUSE_EAST ? HOUSE_BOARD : which];
}

cafe_loop *house_loop(house *h) { return h->world; }
cafe_inproc *house_hub(house *h) { return h->hub; }
const cafe_view *house_view(void) { return &board_view; }
cafe_node *house_node(house *h, int which) { return resident_of(h, which)->node; }
failing_alloc *house_memory(house *h, int which) { return &resident_of(h, which)->memory; }
uint32_t house_links(const house *h) { return h->links; }
uint32_t house_subscribed(const house *h) { return h->subscribed; }

uint64_t house_store_calls(const house *h) {
  cafe_store_counts counts = {.size = sizeof counts};
  cafe_faulty_store_count(h->residents[HOUSE_BOARD].store, &counts);
  return counts.calls;
}

static int host(const resident *r, cafe_err *err) {
  static const cafe_service *const services[] = {&EAST_service, &WEST_service, &board_service};
  int code = cafe_node_host(r->node, services[r->which], err);
  if (!code && r->which == HOUSE_BOARD && r->house->is_mixed)
    code = cafe_node_host(r->node, &EAST_service, err);
  return code;
}

int house_start(house *h, int which) {
  resident *r = resident_of(h, which);
  cafe_node_options options = CAFE_NODE_OPTIONS_INIT;
  cafe_err err = {0};
  assert_null(r->node);
  options.loop = h->world;
  options.store = r->store;
  options.transport = r->transport;
  options.allocator = &r->memory.allocator;
  int code = cafe_node_create(&r->node, &options, &err);
  if (!code)
    code = host(r, &err);
  if (!code)
    code = cafe_node_start(r->node, &err);
  if (!code)
    return CAFE_OK;
  if (code != CAFE_NOMEM)
    fail_msg("node %d doesn't start: %s", which, err.text);
  cafe_node_destroy(r->node);
  r->node = NULL;
  return code;
}

static void closed(const cafe_err *err, void *user) {
  assert_null(err);
  *(bool *)user = true;
}

void house_stop(house *h, int which) {
  resident *r = resident_of(h, which);
  bool is_closed = false;
  assert_int_equal(cafe_node_close(r->node, closed, &is_closed, NULL), CAFE_OK);
  while (!is_closed)
    assert_true(cafe_sim_step(h->world));
  house_leave(h, which);
}

void house_leave(house *h, int which) {
  resident *r = resident_of(h, which);
  cafe_node_destroy(r->node);
  r->node = NULL;
}

void house_kill(house *h, int which) {
  resident *r = resident_of(h, which);
  cafe_faulty_store_kill(r->store);
  house_stop(h, which);
  cafe_faulty_store_revive(r->store);
}

void house_forget(house *h, int which) {
  resident *r = resident_of(h, which);
  assert_null(r->node);
  cafe_store_destroy(r->store);
  cafe_store_destroy(r->inner);
  make_store(r);
}

void house_cut(house *h, int which, bool is_cut) {
  static const char *const names[] = {"east", "west", "board"};
  cafe_inproc_cut(h->hub, names[which], is_cut);
}

void house_say(house *h, int which, uint64_t key, int64_t n) {
  resident *r = resident_of(h, which);
  cafe_submit asked = CAFE_SUBMIT_INIT;
  words data = {n};
  asked.command = &say_type[which];
  asked.key = key;
  asked.data = &data;
  asked.data_size = sizeof data;
  if (r->node)
    cafe_node_submit(NULL, r->node, &asked, NULL, NULL, NULL);
}

void house_run(house *h, int64_t ms) { cafe_sim_run(h->world, cafe_sim_now_us(h->world) + ms * 1000); }

void house_rest(house *h) {
  for (uint64_t steps = 0; cafe_sim_step(h->world); steps++)
    assert_true(steps < 10000000);
}

static int skip_event(const cafe_stored_event *event, void *user) {
  (void)event, (void)user;
  return CAFE_OK;
}

uint64_t house_head(house *h, int which) {
  resident *r = resident_of(h, which);
  cafe_log_query query = {.size = sizeof query, .limit = 1};
  assert_int_equal(r->inner->ops->read_log(r->inner, &query, skip_event, NULL, NULL), CAFE_OK);
  return query.head;
}

/* ---- who follows ---- */

static void take(house_listener *self, const cafe_page *page) {
  for (uint32_t i = 0; i < page->count; i++) {
    const cafe_event *event = page->events[i];
    const house_row *row = page->rows[i]->data;
    int log = log_of(event);
    assert_int_equal(page->rows[i]->key, event->key);
    if (event->position.n != self->seen[log] + 1)
      fail_msg("log %d: %llu comes after %llu", log, (unsigned long long)event->position.n,
               (unsigned long long)self->seen[log]);
    assert_true((log == HOUSE_EAST ? row->east : row->west) >= (int64_t)event->version); /* the row isn't older */
    self->seen[log]++;
    self->events++;
  }
  assert_in_range(page->count, 0, self->limit);
  assert_in_range(page->position_count, 1, HOUSE_PLACES);
  self->position_count = page->position_count;
  memcpy(self->positions, page->positions, page->position_count * sizeof self->positions[0]);
  self->pages += page->count > 0;
  self->empty += page->count == 0;
}

static void on_page(const cafe_err *err, const cafe_page *page, void *user) {
  house_listener *self = user;
  self->op = NULL;
  self->code = err ? err->code : CAFE_OK;
  snprintf(self->text, sizeof self->text, "%s", err ? err->text : "");
  if (page)
    take(self, page);
  if (page && !self->is_paused)
    house_listen(self);
}

int house_listen(house_listener *self) {
  cafe_node *node = house_node(self->house, HOUSE_BOARD);
  cafe_changes changes = CAFE_CHANGES_INIT;
  cafe_err err = {0};
  if (self->op || !node)
    return CAFE_OK;
  changes.view = &board_view;
  changes.limit = self->limit;
  changes.timeout_ms = self->timeout_ms;
  changes.from_start = !self->position_count && self->from_start;
  changes.positions = self->position_count ? self->positions : NULL;
  changes.position_count = self->position_count;
  self->code = cafe_node_changes(&self->op, node, &changes, on_page, self, &err);
  if (self->code) {
    self->op = NULL;
    snprintf(self->text, sizeof self->text, "%s", err.text);
  }
  return self->code;
}

void house_check(house *h, const house_listener *self) {
  for (int log = 0; log < HOUSE_LOGS; log++)
    if (self->seen[log] != house_head(h, log))
      fail_msg("log %d: told of %llu events of %llu", log, (unsigned long long)self->seen[log],
               (unsigned long long)house_head(h, log));
}
