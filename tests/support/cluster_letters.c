/* SPDX-License-Identifier: Apache-2.0 */

/* The shop's operator: takes dead letters up, with the data that the publisher's log has. */
#include "cluster.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/node.h"
#include "spoils.h"

enum {
  ROUNDS_MAX = 1000,
  SETTLE_MS = 5000 /* what has failed for the last time is parked by then */
};

static const char *const services[CLUSTER_SERVICES] = {"app", "pay", "store", "customer", "dashboard"};

static const cluster_event *event_of(cluster *c, uint64_t key, const cafe_dead_letter *letter) {
  cluster_order *order = cluster_find(c, key);
  for (const cluster_event *at = order ? order->first : NULL; at; at = at->next) {
    bool is_source = cafe_slice_equal(letter->source, cafe_text(services[at->node])) || !c->options.is_split;
    if (is_source && at->event.position.n == (uint64_t)letter->n)
      return at;
  }
  cluster_violation(c, "I7", key, "a dead letter of %.*s, which isn't in the log of %.*s", (int)letter->event.size,
                    letter->event.data, (int)letter->source.size, letter->source.data);
}

static void read_letters(const cluster_node *n, cafe_row_sink sink, void *user) {
  cafe_row_query query = {sizeof query, &engine_tables[TABLE_LETTERS], NULL, 0, 0, 0, -1, UINT32_MAX};
  assert_int_equal(n->inner->ops->read_rows(n->inner, &query, sink, user, NULL), CAFE_OK);
}

static int replay(const cafe_table *table, uint64_t key, uint64_t sub, uint64_t version, const void *data, void *user) {
  (void)table, (void)version;
  cluster_node *n = user;
  const cafe_dead_letter *letter = data;
  const cluster_event *seen = event_of(n->cluster, key, letter);
  cafe_replay asked = CAFE_REPLAY_INIT;
  if (letter->state != CAFE_LETTER_PARKED)
    return CAFE_OK;
  asked.key = key;
  asked.letter = sub;
  asked.event = seen->event.type;
  asked.data = seen->event.data;
  asked.data_size = seen->event.type->width;
  n->cluster->replays += cafe_node_replay_letter(NULL, n->node, &asked, NULL, NULL, NULL) == CAFE_OK;
  return CAFE_OK;
}

void cluster_mend(cluster *c, int service) {
  cluster_node *n = cluster_node_of(c, service);
  cluster_look(c);
  if (n->node)
    read_letters(n, replay, n);
}

uint64_t cluster_letters(const cluster *c) {
  uint64_t count = 0;
  for (int i = 0; i < c->node_count; i++) {
    cafe_node_stats stats = {.size = sizeof stats};
    if (c->nodes[i].node)
      cafe_node_stats_get(c->nodes[i].node, &stats);
    count += stats.dead_letters;
  }
  return count;
}

void cluster_mend_all(cluster *c) {
  if (c->options.spoils)
    cluster_run(c, SETTLE_MS);
  for (int round = 0; cluster_letters(c); round++) {
    for (int i = 0; i < c->node_count; i++)
      cluster_mend(c, i);
    cluster_run(c, 1000);
    if (round > ROUNDS_MAX)
      cluster_violation(c, "letters", 0, "%llu dead letters can't be replayed", (unsigned long long)cluster_letters(c));
  }
}

void cluster_spoil(cluster *c, uint64_t one_in) {
  for (int i = 0; c->options.spoils && i < c->node_count; i++)
    spoils_set(c->nodes[i].transport, one_in);
}

static int see_key(const cafe_table *table, uint64_t key, uint64_t sub, uint64_t version, const void *data,
                   void *user) {
  (void)table, (void)sub, (void)version;
  cluster_parked *out = user;
  const cafe_dead_letter *letter = data;
  if (!cafe_slice_equal(letter->name, cafe_text(out->reader)))
    return CAFE_OK;
  assert_true(out->count < CLUSTER_PARKED);
  out->letters[out->count].key = key;
  out->letters[out->count].node = event_of(out->cluster, key, letter)->node;
  out->letters[out->count++].n = (uint64_t)letter->n;
  return CAFE_OK;
}

void cluster_read_parked(cluster_parked *out, cluster *c, const cluster_node *n, const char *reader) {
  memset(out, 0, sizeof *out);
  out->cluster = c;
  out->reader = reader;
  read_letters(n, see_key, out);
}

bool cluster_is_parked(const cluster_parked *parked, const cluster_event *event) {
  for (uint32_t i = 0; i < parked->count; i++)
    if (parked->letters[i].key == event->event.key && parked->letters[i].node == event->node &&
        parked->letters[i].n == event->event.position.n)
      return true;
  return false;
}
