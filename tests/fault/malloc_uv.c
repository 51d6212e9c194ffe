/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A small program on libuv and a SQLite file, with real threads, and allocation n of its own thread fails: in opening,
 * in each call, in closing. n = 1, 2, … until nothing is hit; for short, not every n. Each call says so or succeeds,
 * nothing hangs or is left behind half, and what was acknowledged is there when the file is opened again.
 *
 * libuv ends the process where it has no memory for its table of descriptors, so its loop is made before.
 */
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cafe/cafe.h"
#include "cafe/gateway/sandbox.h"
#include "cafe/loop/uv.h"
#include "cafe/op.h"
#include "cafe/store/sqlite.h"
#include "disk_vfs.h"
#include "refusing_malloc.h"
#include "sqlite_file.h"

static const char path[] = "malloc-uv.db";

enum { SHORT_RUNS = 100 };

typedef struct program {
  uv_loop_t uv;
  cafe_loop *loop;
  cafe_store *store;
  cafe_gateway *gateway;
  cafe_node *node;
  cafe_shop *shop;
  cafe_err err;
} program;

/* What was acknowledged. */
typedef struct promise {
  uint64_t key;
  cafe_order_status status;
} promise;

static int open_program(program *p) {
  cafe_sqlite_options sqlite = CAFE_SQLITE_OPTIONS_INIT;
  cafe_node_options node = CAFE_NODE_OPTIONS_INIT;
  cafe_shop_options shop = CAFE_SHOP_OPTIONS_INIT;
  cafe_sandbox_settings settings = {.size = sizeof settings};
  sqlite.vfs = DISK_VFS;
  int code = cafe_uv_create(&p->loop, &p->uv, NULL, &p->err);
  if (!code)
    code = cafe_sqlite_create(&p->store, path, &sqlite, &p->err);
  if (!code)
    code = cafe_sandbox_create(&p->gateway, p->loop, NULL, NULL, &p->err);
  if (!code)
    code = cafe_sandbox_set(p->gateway, &settings, &p->err);
  node.loop = p->loop;
  node.store = p->store;
  if (!code)
    code = cafe_node_create(&p->node, &node, &p->err);
  shop.gateway = p->gateway;
  shop.gateway_retry = (cafe_retry){1, 2, 0, 1000};
  if (!code)
    code = cafe_shop_create(&p->shop, p->node, &shop, &p->err);
  return code ? code : cafe_node_start(p->node, &p->err);
}

static void close_program(program *p) {
  cafe_node_destroy(p->node);
  cafe_shop_destroy(p->shop);
  cafe_gateway_destroy(p->gateway);
  cafe_store_destroy(p->store);
  cafe_loop_destroy(p->loop);
}

/* Keeps the promise in mind if the call succeeds. */
static int call(program *p, promise *made, const cafe_schema *command, const void *data, size_t size,
                cafe_order_status status) {
  cafe_submit submit = {sizeof submit, .command = command, .key = made->key,
                        .data = data,  .data_size = size,  .timeout_ms = 10000};
  const cafe_outcome *outcome;
  int code = cafe_node_call(&outcome, p->node, &submit, &p->err);
  if (!code && outcome->verdict != CAFE_REFUSED)
    *made = (promise){outcome->key, status};
  return code ? code : outcome->verdict == CAFE_REFUSED ? CAFE_UNAVAILABLE : CAFE_OK;
}

static int play(program *p, promise *made) {
  cafe_place_order order = {.product_id = cafe_text("latte"),
                            .qty = 1,
                            .customer_id = cafe_text("kim"),
                            .amount_minor = 4500,
                            .pay_timeout_ms = 5000,
                            .payment_token = cafe_text("token")};
  int code = open_program(p);
  if (!code)
    code = call(p, made, &cafe_place_order_type, &order, sizeof order, CAFE_ORDER_ORDERED);
  if (!code)
    code = call(p, made, &cafe_act_on_ticket_type, &(cafe_act_on_ticket){.action = CAFE_TICKET_ACCEPT},
                sizeof(cafe_act_on_ticket), CAFE_ORDER_ACCEPTED);
  if (!code)
    code = call(p, made, &cafe_act_on_ticket_type, &(cafe_act_on_ticket){.action = CAFE_TICKET_START},
                sizeof(cafe_act_on_ticket), CAFE_ORDER_PREPARING);
  return code;
}

static void start_uv(uv_loop_t *uv, uv_async_t *reserved) {
  assert_int_equal(uv_loop_init(uv), 0);
  assert_int_equal(uv_async_init(uv, reserved, NULL), 0);
}

static void end_uv(uv_loop_t *uv, uv_async_t *reserved) {
  uv_close((uv_handle_t *)reserved, NULL);
  assert_int_equal(uv_run(uv, UV_RUN_DEFAULT), 0);
  assert_int_equal(uv_loop_close(uv), 0);
}

static void check_kept(const promise *made) {
  program p = {.err = {0}};
  uv_async_t reserved;
  const void *row;
  start_uv(&p.uv, &reserved);
  if (open_program(&p))
    fail_msg("%s", p.err.text);
  if (made->key) {
    assert_int_equal(cafe_node_find(&row, p.node, &cafe_orders_view, made->key, 0, &p.err), CAFE_OK);
    assert_in_range(((const cafe_order_row *)row)->status, made->status, CAFE_ORDER_PREPARING);
  }
  close_program(&p);
  end_uv(&p.uv, &reserved);
}

/* Returns the number of allocations. */
static uint64_t play_without_memory(uint64_t n) {
  program p = {.err = {0}};
  promise made = {0, CAFE_ORDER_NONE};
  uv_async_t reserved;
  sqlite_file_remove(path);
  start_uv(&p.uv, &reserved);
  refusing_malloc_begin(n, n ? 1 : 0);
  refusing_malloc_arm(true);
  int code = play(&p, &made);
  close_program(&p);
  refusing_malloc_arm(false);
  uint64_t calls = refusing_malloc_calls();
  if (code && (code != CAFE_NOMEM && code != CAFE_UNAVAILABLE))
    fail_msg("allocation %llu: %s", (unsigned long long)n, p.err.text);
  assert_true(!code || refusing_malloc_refused());
  end_uv(&p.uv, &reserved);
  check_kept(&made);
  return calls;
}

static void a_program_on_libuv_bears_every_refused_allocation(void **state) {
  (void)state;
  uint64_t all = play_without_memory(0);
  const char *full = getenv("CAFE_FULL");
  bool is_full = full && strtoull(full, NULL, 10) != 0;
  uint64_t step = is_full ? 1 : all / SHORT_RUNS + 1;
  for (uint64_t n = 1; n <= all; n += step)
    play_without_memory(n);
  print_message("fault: %llu allocations of the loop's thread, of which one in %llu failed\n", (unsigned long long)all,
                (unsigned long long)step);
  assert_true(all > 500);
}

static int set_up(void **state) {
  (void)state;
  int code = sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0); /* as in malloc.c */
  disk_begin(path);
  return code;
}

static int tear_down(void **state) {
  (void)state;
  disk_end();
  sqlite_file_remove(path);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(a_program_on_libuv_bears_every_refused_allocation)};
  return cmocka_run_group_tests(tests, set_up, tear_down);
}
