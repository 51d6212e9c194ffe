/* SPDX-License-Identifier: Apache-2.0 */

/*
 * counter FILE: a program that has a loop of its own, around poll(2), and turns the coffee shop's node in it. What it
 * waits for itself is its standard input: each line names a customer, who orders a cup. It ends when the input has
 * ended and every order is answered.
 *
 * Three calls are all that a foreign loop needs. cafe_node_fd is readable when the node has something to do,
 * cafe_node_timeout_ms says when it will have at the latest, and cafe_node_turn does it, without waiting. A command
 * that is submitted needs a turn as well; here the turn comes at the end of each round, whatever woke us.
 */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cafe/cafe.h>
#include <cafe/gateway/sandbox.h>
#include <cafe/loop/uv.h>
#include <cafe/store/sqlite.h>

static cafe_node *node;
static cafe_err err;
static unsigned waiting; /* orders that aren't answered yet */

static void must(int code) {
  if (code == CAFE_OK) return;
  fprintf(stderr, "%s\n", err.text);
  exit(1);
}

/* ---- orders ---- */

static void answered(const cafe_err *failed, const cafe_outcome *outcome, void *user) {
  (void)user;
  waiting--;
  if (failed) printf("not ordered: %s\n", failed->text);
  else if (outcome->verdict == CAFE_REFUSED) printf("not ordered: %s\n", outcome->text);
  else printf("order %llu\n", (unsigned long long)outcome->key);
}

/* The line is copied, so it may be gone before the answer comes. */
static void order(const char *line, size_t size) {
  cafe_place_order cup = {.product_id = cafe_text("latte"),
                          .qty = 1,
                          .customer_id = {line, size},
                          .amount_minor = 4500,
                          .currency = cafe_text("KRW"),
                          .pay_timeout_ms = 60000};
  cafe_submit submit = CAFE_SUBMIT_INIT;
  submit.command = &cafe_place_order_type;
  submit.data = &cup;
  submit.data_size = sizeof cup;
  must(cafe_node_submit(NULL, node, &submit, answered, NULL, &err));
  waiting++;
}

/* ---- the program's own descriptor ---- */

typedef struct input {
  int fd; /* -1: it has ended */
  size_t size;
  char bytes[4096];
} input;

static void read_lines(input *self) {
  ssize_t got = read(self->fd, self->bytes + self->size, sizeof self->bytes - self->size);
  if (got < 0 && (errno == EINTR || errno == EAGAIN)) return;
  if (got <= 0) {
    self->fd = -1;
    return;
  }
  self->size += (size_t)got;
  size_t begun = 0;
  for (size_t i = 0; i < self->size; i++) {
    if (self->bytes[i] != '\n') continue;
    order(self->bytes + begun, i - begun);
    begun = i + 1;
  }
  self->size -= begun;
  memmove(self->bytes, self->bytes + begun, self->size);
  if (self->size == sizeof self->bytes) self->size = 0; /* no name is so long */
}

/* ---- the loop ---- */

/* Returns how often it was woken. */
static unsigned long run(input *in) {
  unsigned long rounds = 0;
  while (in->fd >= 0 || waiting) {
    struct pollfd ready[] = {{cafe_node_fd(node), POLLIN, 0}, {in->fd, POLLIN, 0}}; /* one below 0 is passed over */
    int64_t timeout_ms = cafe_node_timeout_ms(node);
    if (poll(ready, 2, timeout_ms > INT_MAX ? INT_MAX : (int)timeout_ms) < 0 && errno != EINTR) break;
    if (ready[1].revents) read_lines(in);
    cafe_node_turn(node);
    rounds++;
  }
  return rounds;
}

int main(int argc, char **argv) {
  cafe_loop *loop;
  cafe_store *store;
  cafe_gateway *gateway;
  cafe_shop *shop;
  input in = {STDIN_FILENO, 0, {0}};
  if (argc != 2) {
    fprintf(stderr, "counter FILE\n");
    return 2;
  }
  setvbuf(stdout, NULL, _IOLBF, 0);
  must(cafe_uv_create(&loop, NULL, NULL, &err));
  must(cafe_sqlite_create(&store, argv[1], NULL, &err));
  must(cafe_sandbox_create(&gateway, loop, NULL, NULL, &err));
  cafe_sandbox_settings slow = {sizeof slow, CAFE_SANDBOX_APPROVE, 300, 0, 0}; /* a payment takes a while */
  must(cafe_sandbox_set(gateway, &slow, &err));
  cafe_node_options options = {sizeof options, .loop = loop, .store = store, .log = cafe_log_stderr(CAFE_LOG_WARN)};
  must(cafe_node_create(&node, &options, &err));
  cafe_shop_options shop_options = {sizeof shop_options, .gateway = gateway};
  must(cafe_shop_create(&shop, node, &shop_options, &err));
  must(cafe_node_start(node, &err));

  fprintf(stderr, "woken %lu times\n", run(&in));

  must(cafe_node_finish(node, 5000, &err));
  cafe_node_destroy(node);
  cafe_shop_destroy(shop);
  cafe_gateway_destroy(gateway);
  cafe_store_destroy(store);
  cafe_loop_destroy(loop);
  return 0;
}
