/* SPDX-License-Identifier: Apache-2.0 */

/* Subscriptions: each effect once, at rest where the store fails, and within bounds of memory. */
#include "cafe/sys/transport.h"
#include "cafe/transport/inproc.h"
#include "test_node_kit.h"

/* ---- policies ---- */

static void ask_three(cafe_reaction *out, const cafe_event *event, void *user) {
  const note first = {1}, second = {2}, third = {4};
  (void)event, (void)user;
  cafe_react(out, &Fill, 101, &first, sizeof first);
  cafe_react(out, &Fill, 102, &second, sizeof second);
  cafe_react(out, &Fill, 101, &third, sizeof third);
}

static void ask_nothing(cafe_reaction *out, const cafe_event *event, void *user) { (void)out, (void)event, (void)user; }

static const cafe_schema *const stirred[] = {&Stirred, NULL};
static const cafe_schema *const asks_fill[] = {&Fill, NULL};
static const cafe_policy three = {CAFE_POLICY, "three", "kitchen", stirred, true, ask_three, asks_fill, NULL};
static const cafe_policy nothing = {CAFE_POLICY, "nothing", "kitchen", stirred, true, ask_nothing, asks_fill, NULL};
static const cafe_policy *const three_policies[] = {&three, NULL};
static const cafe_policy *const nothing_policies[] = {&nothing, NULL};

static void what_a_policy_asks_of_one_key_twice_is_done_twice_not_oftener(void **state) {
  kitchen *k = kitchen_open(0);
  k->service.policies = three_policies;
  kitchen_up(k);
  ask(k, &Stir, 7, 1, NULL);
  kitchen_run(k, 1000000);
  assert_int_equal(stored(k, 101, &Filled), 2);
  assert_int_equal(stored(k, 102, &Filled), 1);
  kitchen_close(k);
}

static void a_mark_that_cant_be_written_isnt_written_again_and_again(void **state) {
  kitchen *k = kitchen_open(0);
  k->service.policies = nothing_policies;
  kitchen_up(k);
  for (int i = 0; i < 999; i++)
    ask(k, &Stir, 7, 1, NULL);
  fail_call(k, 3, 1000000); /* after the next event's commit, and its being read */
  int64_t until_us = cafe_sim_now_us(k->loop) + 1000000;
  call last;
  submit(k, &last, &Stir, 7, 1, NULL);
  for (int i = 0; i < 1000 && cafe_sim_now_us(k->loop) < until_us; i++)
    cafe_sim_step(k->loop);
  assert_int_equal(last.code, CAFE_OK);
  cafe_store_counts counts = {.size = sizeof counts};
  cafe_faulty_store_count(k->store, &counts);
  assert_in_range(counts.calls, 3, 20);
  kitchen_close(k);
}

/* ---- views ---- */

typedef struct total {
  int64_t filled;
  cafe_slice text;
} total;
static const cafe_field total_fields[] = {CAFE_FIELD_OF(1, I64, total, filled), CAFE_FIELD_OF(2, TEXT, total, text)};
static const cafe_schema total_type = CAFE_SCHEMA_OF("total", total, total_fields);

static int add_up(cafe_fold *out, void *row, const cafe_event *event, cafe_arena *arena, void *user) {
  total *self = row;
  char text[1000];
  self->filled += ((const note *)event->data)->n;
  memset(text, 'x', sizeof text);
  return cafe_arena_copy(&self->text, arena, (cafe_slice){text, sizeof text});
}

static const char *const kitchen_sources[] = {"kitchen", NULL};
static const cafe_schema *const filled[] = {&Filled, NULL};
static const cafe_view totals = {.size = CAFE_VIEW,
                                 .name = "totals",
                                 .version = 1,
                                 .sources = kitchen_sources,
                                 .events = filled,
                                 .key_name = "jar_id",
                                 .row = &total_type,
                                 .fold = add_up};
static const cafe_view *const totals_views[] = {&totals, NULL};

static void reached(const cafe_err *err, void *user) { *(int *)user = err ? err->code : CAFE_OK; }

static void a_view_can_be_awaited_as_soon_as_its_node_is_started(void **state) {
  kitchen *k = kitchen_open(1000);
  cafe_position place = {0, 0, 1};
  int code = -1;
  cafe_store_setup setup = {sizeof setup, "test", NULL};
  cafe_store_info info = CAFE_STORE_INFO_INIT;
  k->service.views = totals_views;
  kitchen_up(k);
  ask(k, &Fill, 7, 1, NULL);
  kitchen_down(k);
  assert_int_equal(k->inner->ops->open(k->inner, &info, &setup, NULL), CAFE_OK);
  place.log_id = info.log_id;
  kitchen_up(k);
  assert_int_equal(cafe_node_await(NULL, k->node, &totals, &place, 10000, reached, &code, NULL), CAFE_OK);
  kitchen_run(k, 1000000);
  assert_int_equal(code, CAFE_OK);
  kitchen_close(k);
}

static void an_event_that_only_has_the_name_is_left_out(void **state) {
  kitchen *k = kitchen_open(0);
  const void *row;
  k->service.views = totals_views;
  kitchen_up(k);
  ask(k, &Fill, 7, 1, NULL);
  kitchen_down(k);
  kitchen_append(k, "box", &Filled, 7, 1, no_data); /* of a service that was removed */
  kitchen_up(k);
  ask(k, &Fill, 7, 2, NULL);
  kitchen_run(k, 1000000);
  assert_int_equal(cafe_node_find(&row, k->node, &totals, 7, 0, NULL), CAFE_OK);
  assert_int_equal(((const total *)row)->filled, 3);
  assert_int_equal(k->warnings, 0);
  kitchen_close(k);
}

/* ---- peers ---- */

typedef struct peer {
  cafe_server server; /* of nothing */
  cafe_transport *transport;
  cafe_link link;
  uint64_t seen[600]; /* keys, in their order */
  uint32_t count, batches;
} peer;

static const cafe_server_ops peer_ops = {.size = sizeof peer_ops};

static void hear_events(cafe_link *link, const cafe_stored_event *events, uint32_t count, uint64_t scanned,
                        uint64_t head) {
  peer *self = link->user;
  assert_true(self->count + count <= 600 && scanned <= head && scanned > link->after);
  for (uint32_t i = 0; i < count; i++) {
    assert_true(cafe_slice_equal(events[i].meta, cafe_text("by hand")));
    self->seen[self->count++] = events[i].key;
  }
  self->batches++;
  link->after = scanned;
  self->transport->ops->more(self->transport, link);
}

static void lose(cafe_link *link, const cafe_err *err) {
  (void)link;
  fail_msg("%s", err->text);
}

static void subscribe(peer *self, cafe_inproc *hub, uint64_t partitions) {
  static const char *const nothing_offered[] = {NULL};
  static const char *const types[] = {"Filled", NULL};
  memset(self, 0, sizeof *self);
  self->server.ops = &peer_ops;
  self->link = (cafe_link){.size = sizeof self->link,
                           .service = "kitchen",
                           .name = "peer",
                           .types = types,
                           .partitions = partitions,
                           .on_events = hear_events,
                           .on_lost = lose,
                           .user = self};
  assert_int_equal(cafe_inproc_join(&self->transport, hub, NULL), CAFE_OK);
  assert_int_equal(self->transport->ops->open(self->transport, NULL, nothing_offered, &self->server, NULL), CAFE_OK);
  assert_int_equal(self->transport->ops->subscribe(self->transport, &self->link, NULL), CAFE_OK);
}

static void a_peer_hears_of_its_partitions_and_reads_what_stands_beside_the_events(void **state) {
  enum { KEYS = 600 };
  kitchen *k = kitchen_open(0);
  cafe_inproc *hub;
  cafe_transport *own;
  peer some, all;
  cafe_node_options options = CAFE_NODE_OPTIONS_INIT;
  uint64_t wanted = UINT64_C(1) << cafe_partition(7) | UINT64_C(1) << 63 | 1;
  assert_int_equal(cafe_inproc_create(&hub, k->loop, NULL, NULL), CAFE_OK);
  assert_int_equal(cafe_inproc_join(&own, hub, NULL), CAFE_OK);
  kitchen_up(k); /* makes the tables */
  kitchen_down(k);
  for (uint64_t key = 1; key <= KEYS; key++)
    kitchen_append(k, "jar", &Filled, key, 1, no_data);
  options.loop = k->loop;
  options.store = k->store;
  options.transport = own;
  assert_int_equal(cafe_node_create(&k->node, &options, NULL), CAFE_OK);
  assert_int_equal(cafe_node_host(k->node, &k->service, NULL), CAFE_OK);
  assert_int_equal(cafe_node_employ(k->node, &k->worker, NULL), CAFE_OK);
  assert_int_equal(cafe_node_start(k->node, NULL), CAFE_OK);
  subscribe(&some, hub, wanted);
  subscribe(&all, hub, 0);
  kitchen_run(k, 1000000);
  assert_int_equal(all.count, KEYS);
  uint32_t at = 0;
  for (uint64_t key = 1; key <= KEYS; key++) {
    assert_int_equal(all.seen[key - 1], key);
    if (wanted >> cafe_partition(key) & 1)
      assert_int_equal(some.seen[at++], key);
  }
  assert_in_range(at, 3, KEYS / 10);
  assert_int_equal(some.count, at);
  assert_int_equal(some.link.after, KEYS); /* what was left out was looked at */
  cafe_transport_destroy(some.transport);
  cafe_transport_destroy(all.transport);
  kitchen_down(k);
  cafe_transport_destroy(own);
  cafe_inproc_destroy(hub);
  kitchen_close(k);
}

/* ---- the node's own log ---- */

static const cafe_aggregate *const jar_only[] = {&jar_aggregate, NULL};
static const cafe_aggregate *const lid_only[] = {&lid_aggregate, NULL};
static const char *const both_sources[] = {"pantry", "kitchen", NULL};
static const cafe_schema *const filled_or_closed[] = {&Filled, &Closed, NULL};
static const cafe_view both_totals = {.size = CAFE_VIEW,
                                      .name = "totals",
                                      .version = 1,
                                      .sources = both_sources,
                                      .events = filled_or_closed,
                                      .key_name = "jar_id",
                                      .row = &total_type,
                                      .fold = add_up};
static const cafe_view *const both_views[] = {&both_totals, NULL};
static const cafe_aggregate *const both_aggregates[] = {&lid_aggregate, &jar_aggregate, NULL};

static const cafe_service kitchen_service = {.size = CAFE_SERVICE, .name = "kitchen", .aggregates = jar_only};
static const cafe_service pantry_service = {.size = CAFE_SERVICE, .name = "pantry", .aggregates = lid_only};
static const cafe_service board_service = {.size = CAFE_SERVICE,
                                           .name = "board",
                                           .views = both_views,
                                           .remotes = both_aggregates,
                                           .remote_services = both_sources};

/* A node with these services, and a transport to where the others may be, that fills a jar and is asked what the board
 * says then. */
static int64_t fill_and_read(kitchen *k, const cafe_service *const *services) {
  cafe_err err;
  cafe_node_options options = CAFE_NODE_OPTIONS_INIT;
  const void *row;
  cafe_inproc *hub;
  assert_int_equal(cafe_inproc_create(&hub, k->loop, NULL, NULL), CAFE_OK);
  assert_int_equal(cafe_inproc_join(&options.transport, hub, NULL), CAFE_OK);
  options.loop = k->loop;
  options.store = k->store;
  assert_int_equal(cafe_node_create(&k->node, &options, &err), CAFE_OK);
  assert_int_equal(cafe_node_employ(k->node, &k->worker, &err), CAFE_OK);
  for (; *services; services++)
    assert_int_equal(cafe_node_host(k->node, *services, &err), CAFE_OK);
  if (cafe_node_start(k->node, &err))
    fail_msg("%s", err.text);
  ask(k, &Fill, 7, 1, NULL);
  kitchen_run(k, 1000000);
  assert_int_equal(cafe_node_find(&row, k->node, &both_totals, 7, 0, &err), CAFE_OK);
  int64_t said = ((const total *)row)->filled;
  kitchen_down(k);
  cafe_transport_destroy(options.transport);
  cafe_inproc_destroy(hub);
  return said;
}

static int count_checkpoint(const cafe_checkpoint *checkpoint, void *user) {
  ++*(int *)user;
  return checkpoint->log_id ? CAFE_OK : CAFE_INVALID;
}

static int checkpoints_of(kitchen *k, const char *subscription) {
  int count = 0;
  assert_int_equal(k->inner->ops->read_checkpoints(k->inner, subscription, count_checkpoint, &count, NULL), CAFE_OK);
  return count;
}

static void a_place_in_the_own_log_is_kept_whoever_is_hosted(void **state) {
  static const cafe_service *const orders[][4] = {{&kitchen_service, &pantry_service, &board_service, NULL},
                                                  {&board_service, &pantry_service, &kitchen_service, NULL},
                                                  {&kitchen_service, &board_service, NULL},
                                                  {&pantry_service, &kitchen_service, &board_service, NULL}};
  kitchen *k = kitchen_open(0);
  for (int i = 0; i < 4; i++)
    assert_int_equal(fill_and_read(k, orders[i]), i + 1); /* each event once */
  assert_int_equal(checkpoints_of(k, "totals<."), 1);
  assert_int_equal(checkpoints_of(k, "totals<kitchen"), 0);
  assert_int_equal(checkpoints_of(k, "totals<pantry"), 0);
  kitchen_close(k);
}

static void a_policy_across_keys_keeps_its_place_in_the_own_log(void **state) {
  kitchen *k = kitchen_open(0);
  k->service.policies = three_policies;
  kitchen_up(k);
  ask(k, &Stir, 7, 1, NULL);
  kitchen_run(k, 1000000);
  assert_int_equal(checkpoints_of(k, "three<."), 1);
  assert_int_equal(checkpoints_of(k, "three<kitchen"), 0);
  kitchen_close(k);
}

typedef struct counted {
  size_t bytes;
} counted;

static void *count_bytes(void *block, size_t size, void *user) {
  counted *self = user;
  size_t *old = block ? (size_t *)block - 2 : NULL;
  if (old)
    self->bytes -= *old;
  if (!size) {
    free(old);
    return NULL;
  }
  size_t *made = realloc(old, size + 2 * sizeof *made);
  assert_non_null(made);
  *made = size;
  self->bytes += size;
  return made + 2;
}

static void a_row_that_is_folded_ten_thousand_times_takes_no_more_memory(void **state) {
  kitchen *k = kitchen_open(0);
  counted memory = {0};
  cafe_allocator allocator = {count_bytes, &memory};
  call calls[100];
  k->allocator = &allocator;
  k->service.views = totals_views;
  kitchen_up(k);
  for (int round = 0; round < 100; round++) {
    for (int i = 0; i < 100; i++)
      submit(k, &calls[i], &Fill, 7, 1, NULL);
    kitchen_run(k, 100000);
  }
  assert_in_range(memory.bytes, 1, 8000000); /* of ten million bytes of text */
  kitchen_close(k);
  assert_int_equal(memory.bytes, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(what_a_policy_asks_of_one_key_twice_is_done_twice_not_oftener),
      cmocka_unit_test(a_mark_that_cant_be_written_isnt_written_again_and_again),
      cmocka_unit_test(a_view_can_be_awaited_as_soon_as_its_node_is_started),
      cmocka_unit_test(an_event_that_only_has_the_name_is_left_out),
      cmocka_unit_test(a_peer_hears_of_its_partitions_and_reads_what_stands_beside_the_events),
      cmocka_unit_test(a_place_in_the_own_log_is_kept_whoever_is_hosted),
      cmocka_unit_test(a_policy_across_keys_keeps_its_place_in_the_own_log),
      cmocka_unit_test(a_row_that_is_folded_ten_thousand_times_takes_no_more_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
