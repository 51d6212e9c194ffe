/* SPDX-License-Identifier: Apache-2.0 */

/*
 * reservation FILE      plays six reservations in the SQLite file FILE, each with an end of its own, and prints what
 *                       happened.
 * reservation --graph   prints the saga as a graph (DOT).
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cafe/loop/uv.h>
#include <cafe/store/sqlite.h>

#include "reservation.h"

static cafe_node *node;
static cafe_err err;

static void must(int code) {
  if (code == CAFE_OK) return;
  fprintf(stderr, "%s\n", err.text);
  exit(1);
}

/* ---- asking ---- */

/* Submits a command and prints what became of it. Returns the reservation's number. */
static uint64_t submit_it(const cafe_submit *submit) {
  const char *name = submit->command->name;
  const cafe_outcome *outcome;
  must(cafe_node_call(&outcome, node, submit, &err));
  if (outcome->replayed) printf("  %s: as before, %.*s\n", name, (int)outcome->reply.size, outcome->reply.data);
  else if (outcome->verdict == CAFE_REFUSED) printf("  %s: refused, %s\n", name, outcome->reason);
  else printf("  %s: done\n", name);
  return outcome->key;
}

static uint64_t ask(uint64_t key, const cafe_schema *command, const void *data, size_t size) {
  cafe_submit submit = {sizeof submit, .command = command, .key = key, .data = data, .data_size = size};
  return submit_it(&submit);
}

static uint64_t ask_simply(uint64_t key, const cafe_schema *command) {
  return ask(key, command, &(nothing){false}, sizeof(nothing));
}

static int64_t clock_ms(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* For a time in in_ms, with the times of reserve_table. */
static uint64_t reserve(int64_t party_size, int64_t in_ms, int64_t answer_ms, int64_t cut_off_ms, int64_t grace_ms) {
  reserve_table table = {
      .guest = cafe_text("Mina"),
      .party_size = party_size,
      .at_ms = clock_ms(CLOCK_REALTIME) + in_ms,
      .deposit_minor = party_size * 10000, /* the desk declines more than 100,000 */
      .currency = cafe_text("USD"),
      .answer_ms = answer_ms,
      .cut_off_ms = cut_off_ms,
      .grace_ms = grace_ms,
  };
  return ask(0, &reserve_table_type, &table, sizeof table);
}

enum { TOMORROW = 24 * 3600 * 1000 };

/* A table tomorrow, under the guest's own key: what he sends twice has one effect, and one answer. */
static uint64_t reserve_as(const char *request, int64_t party_size) {
  reserve_table table = {
      .guest = cafe_text("Mina"),
      .party_size = party_size,
      .at_ms = clock_ms(CLOCK_REALTIME) + TOMORROW,
      .deposit_minor = party_size * 10000,
      .currency = cafe_text("USD"),
  };
  char fingerprint[32]; /* another party under the same key is CAFE_CONFLICT */
  snprintf(fingerprint, sizeof fingerprint, "tomorrow, %lld", (long long)party_size);
  cafe_client_key client_key = {cafe_text("reservations"), cafe_text(request), cafe_text(fingerprint), {NULL, NULL}};
  cafe_submit submit = {sizeof submit, .command = &reserve_table_type, .data = &table, .data_size = sizeof table};
  submit.client_key = &client_key;
  submit.reply = reservation_reply;
  return submit_it(&submit);
}

static void answer(uint64_t key, bool accepts) {
  answer_request said = {accepts, cafe_text(accepts ? "" : "fully booked")};
  ask(key, &answer_request_type, &said, sizeof said);
}

/* ---- waiting, and looking ---- */

/* Sleeps until the node has something to do, for at most so long, and turns it. */
static void turn(int64_t at_most_ms) {
  int64_t due_ms = cafe_node_timeout_ms(node); /* -1: nothing is due */
  struct pollfd ready = {cafe_node_fd(node), POLLIN, 0};
  poll(&ready, 1, (int)(due_ms < 0 || due_ms > at_most_ms ? at_most_ms : due_ms));
  cafe_node_turn(node);
}

/* Turns the node until the row says so. */
static void await(uint64_t key, reservation_status status, deposit_status deposit) {
  int64_t end_ms = clock_ms(CLOCK_MONOTONIC) + 60000;
  for (;;) {
    const void *found;
    must(cafe_node_find(&found, node, &reservations_view, key, 0, &err));
    const reservation_row *row = found;
    if (row->status == status && row->deposit == deposit) return;
    int64_t left_ms = end_ms - clock_ms(CLOCK_MONOTONIC);
    if (left_ms <= 0) must(cafe_fail(&err, CAFE_TIMEOUT, "reservation %llu stands still", (unsigned long long)key));
    turn(left_ms);
  }
}

static volatile int listed;

static void print_row(const cafe_err *failed, const cafe_page *page, void *user) {
  (void)user;
  if (failed) err = *failed;
  for (uint32_t i = 0; page && i < page->count; i++) {
    const reservation_row *row = page->rows[i]->data;
    printf("%s, deposit %s\n", reservation_status_names[row->status], deposit_status_names[row->deposit]);
  }
  if (page && !page->count) printf("no reservation\n");
  listed = failed ? -1 : 1;
}

/* What the row is in the end. */
static void show(uint64_t key) {
  char digits[24];
  snprintf(digits, sizeof digits, "%llu", (unsigned long long)key);
  cafe_filter filter = {.column = "reservation_id", .equals = cafe_text(digits)};
  cafe_list list = {sizeof list, .view = &reservations_view, .filters = &filter, .filter_count = 1, .limit = 1};
  listed = 0;
  printf("  = ");
  must(cafe_node_list(NULL, node, &list, print_row, NULL, &err));
  must(cafe_node_run(node, &listed));
  must(listed < 0 ? err.code : CAFE_OK);
}

/* ---- what happens ---- */

static void play(void) {
  printf("The guest comes, and has the deposit back:\n");
  uint64_t key = reserve(2, TOMORROW, 0, 0, 0);
  answer(key, true);
  ask_simply(key, &seat_guest_type);
  await(key, RESERVATION_SEATED, DEPOSIT_RETURNED);
  show(key);

  printf("The deposit is declined, and the guest asks again:\n");
  char request[32]; /* one for each run: a key is kept */
  snprintf(request, sizeof request, "%lld", (long long)clock_ms(CLOCK_REALTIME));
  reserve_as(request, 12);
  show(reserve_as(request, 12));

  printf("The restaurant refuses:\n");
  key = reserve(2, TOMORROW, 0, 0, 0);
  answer(key, false);
  await(key, RESERVATION_CANCELED, DEPOSIT_RETURNED);
  show(key);

  printf("The restaurant doesn't answer:\n");
  key = reserve(2, TOMORROW, 200, 0, 0);
  await(key, RESERVATION_CANCELED, DEPOSIT_RETURNED);
  show(key);

  printf("The guest cancels in time:\n");
  key = reserve(2, TOMORROW, 0, 0, 0);
  answer(key, true);
  ask_simply(key, &cancel_reservation_type);
  await(key, RESERVATION_CANCELED, DEPOSIT_RETURNED);
  show(key);

  printf("The guest cancels too late, and doesn't come:\n");
  key = reserve(2, 2600, 0, 100, 3000);
  answer(key, true);
  await(key, RESERVATION_FIXED, DEPOSIT_CHARGED);
  ask_simply(key, &cancel_reservation_type);
  await(key, RESERVATION_NOT_SHOWN, DEPOSIT_KEPT);
  show(key);
}

static void print_graph(cafe_slice text, void *user) {
  (void)user;
  fwrite(text.data, 1, text.size, stdout);
}

int main(int argc, char **argv) {
  cafe_loop *loop;
  cafe_store *store;
  desk desk;
  if (argc != 2) {
    fprintf(stderr, "reservation FILE | --graph\n");
    return 2;
  }
  must(cafe_saga_check(&reservation_saga, &err)); /* hosting does it too */
  if (strcmp(argv[1], "--graph") == 0) {
    cafe_saga_print(&reservation_saga, print_graph, NULL);
    return 0;
  }
  must(cafe_uv_create(&loop, NULL, NULL, &err));
  must(cafe_sqlite_create(&store, argv[1], NULL, &err));
  cafe_node_options options = {sizeof options, .loop = loop, .store = store, .log = cafe_log_stderr(CAFE_LOG_WARN)};
  must(cafe_node_create(&node, &options, &err));
  desk_init(&desk, loop);
  cafe_worker worker = desk_worker(&desk);
  must(cafe_node_host(node, &reservations_service, &err));
  must(cafe_node_host(node, &deposits_service, &err));
  must(cafe_node_employ(node, &worker, &err));
  must(cafe_node_start(node, &err));
  play();
  must(cafe_node_finish(node, 5000, &err));
  cafe_node_destroy(node);
  desk_deinit(&desk);
  cafe_store_destroy(store);
  cafe_loop_destroy(loop);
  return 0;
}
