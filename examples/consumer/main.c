/* SPDX-License-Identifier: Apache-2.0 */

/* card FILE: opens a stamp card in the SQLite file FILE, fills it, and has a cup; then lists all cards. */
#include <stdio.h>
#include <stdlib.h>

#include <cafe/loop/uv.h>
#include <cafe/store/sqlite.h>

#include "card.h"

static cafe_node *node;
static cafe_err err;
static volatile int listed; /* 1, or -1 with err */

static void must(int code) {
  if (code == CAFE_OK) return;
  fprintf(stderr, "%s\n", err.text);
  exit(1);
}

/* Submits a command and waits for what became of it. Returns the card's number. */
static uint64_t ask(uint64_t card, const cafe_schema *command, const void *data, size_t size) {
  cafe_submit submit = {sizeof submit, .command = command, .key = card, .data = data, .data_size = size};
  const cafe_outcome *outcome;
  must(cafe_node_call(&outcome, node, &submit, &err));
  if (outcome->verdict == CAFE_REFUSED) printf("refused (%s): %s\n", outcome->reason, outcome->text);
  return outcome->key;
}

static void show(uint64_t card) {
  const void *found;
  must(cafe_node_find(&found, node, &cards_view, card, 0, &err));
  const card_row *row = found;
  printf("%.*s: %d stamps, %d cups\n", (int)row->holder.size, row->holder.data, (int)row->stamps, (int)row->cups);
}

static void print_cards(const cafe_err *failed, const cafe_page *page, void *user) {
  (void)user;
  if (failed) err = *failed;
  else printf("cards: %u\n", (unsigned)page->count);
  listed = failed ? -1 : 1;
}

int main(int argc, char **argv) {
  cafe_loop *loop;
  cafe_store *store;
  if (argc != 2) {
    fprintf(stderr, "card FILE\n");
    return 2;
  }
  must(cafe_uv_create(&loop, NULL, NULL, &err));
  must(cafe_sqlite_create(&store, argv[1], NULL, &err));
  cafe_node_options options = {sizeof options, .loop = loop, .store = store, .log = cafe_log_stderr(CAFE_LOG_WARN)};
  must(cafe_node_create(&node, &options, &err));
  must(cafe_node_host(node, &cards_service, &err));
  must(cafe_node_start(node, &err));

  uint64_t card = ask(0, &open_card_type, &(open_card){cafe_text("Mina")}, sizeof(open_card)); /* 0: a new one */
  for (uint64_t visit = 1; visit < CARD_FULL; visit++)
    ask(card, &stamp_card_type, &(stamp_card){visit}, sizeof(stamp_card));
  ask(card, &stamp_card_type, &(stamp_card){CARD_FULL - 1}, sizeof(stamp_card)); /* told again */
  show(card);
  ask(card, &redeem_card_type, &(redeem_card){false}, sizeof(redeem_card)); /* one is missing */
  ask(card, &stamp_card_type, &(stamp_card){CARD_FULL}, sizeof(stamp_card));
  show(card);
  ask(card, &redeem_card_type, &(redeem_card){false}, sizeof(redeem_card));
  show(card);

  cafe_list all = {sizeof all, .view = &cards_view, .limit = 1000};
  must(cafe_node_list(NULL, node, &all, print_cards, NULL, &err));
  must(cafe_node_run(node, &listed));
  must(listed < 0 ? err.code : CAFE_OK);

  must(cafe_node_finish(node, 5000, &err));
  cafe_node_destroy(node);
  cafe_store_destroy(store);
  cafe_loop_destroy(loop);
  return 0;
}
