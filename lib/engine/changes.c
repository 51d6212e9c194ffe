/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A view's changes: its events after a position in each log that it is made from, each with the row that it belongs to.
 *
 * What is kept here: an event is handed out once the view holds it, so its row is never older; and the positions of a
 * page pass no event of the view that it hasn't, but those whose row isn't shown. The node remembers nothing between
 * two pages, beyond the events of other nodes' logs that are in hand (tail.c). While a caller waits he costs a look at
 * the view's places in each turn; all who wait at the same place share one read. A log that can't be reached holds up
 * nothing but what it has itself.
 */
#include "engine/changes.h"

#include "base/sized.h"
#include "engine/read.h"

enum {
  CHANGES_MAX = 1000,
  REACH_MS = 1000 /* who doesn't wait for changes waits so long for those that other nodes have */
};

/* ---- answering ---- */

/* Whether he may be told where he stands. */
static bool is_placed(const watch *self) {
  for (uint32_t i = 0; i < self->places; i++)
    if (self->begins_now && !self->positions[i].log_id && !self->is_new[i])
      return false;
  return true;
}

static void watch_served(cafe_op *op, const cafe_err *err, const cafe_outcome *outcome) {
  (void)outcome;
  watch *self = op->serves;
  cafe_node *node = op->node;
  const cafe_page nothing = {
      sizeof nothing, NULL, NULL, 0, false, self->places, self->given_count ? self->told : self->positions};
  bool is_over = err && err->code == CAFE_TIMEOUT && !self->has_failed && is_placed(self);
  if (self->read)
    DL_DELETE(self->read->watches, self);
  else
    DL_DELETE(node->watches, self);
  node->has_new_watches = node->has_new_watches || node->tails; /* which he may have been the last to need */
  if (err && !is_over)
    self->done(err, NULL, op->user);
  else
    self->done(NULL, self->page ? self->page : &nothing, op->user);
}

static void fail_watch(watch *self, const cafe_err *err) {
  self->has_failed = true;
  op_answer(self->op, err, NULL);
}

static bool has_more(const cafe_node *node, const change_read *self) {
  for (uint32_t i = 0; i < self->places; i++)
    if (self->reached[i].n < changes_held(node, self->watches, i))
      return true;
  return false;
}

static void read_done(storage_job *base) {
  change_read *self = CONTAINER(base, change_read, job);
  cafe_node *node = base->node;
  int code = base->code;
  if (!code && self->watches)
    code = changes_join(self, &base->err);
  cafe_page page = {sizeof page, self->rows, self->events, self->count, false, self->places, self->reached};
  page.more = self->watches && has_more(node, self);
  watch *each, *next;
  DL_FOREACH_SAFE(self->watches, each, next) {
    memcpy(each->positions, self->reached, self->places * sizeof *each->positions);
    if (code) {
      fail_watch(each, &base->err);
    } else if (self->count) {
      each->page = &page;
      op_answer(each->op, NULL, NULL);
    } else {
      DL_DELETE(self->watches, each);
      each->read = NULL;
      DL_APPEND(node->watches, each);
      node->has_new_watches = true;
    }
  }
  changes_free(self);
}

/* ---- waiting ---- */

/* The log of a peer becomes known: where he stands in it. */
static void take_given(watch *self, cafe_position *at) {
  for (uint32_t i = 0; i < self->given_count; i++) {
    if (self->given[i].log_id != at->log_id || self->given[i].shard != at->shard)
      continue;
    *at = self->given[i];
    self->given[i] = self->given[--self->given_count];
    return;
  }
}

/* CAFE_INVALID: he stands in a log that the view isn't made from, or isn't any more. */
static int settle_places(watch *self, cafe_err *err) {
  bool is_open = false;
  for (uint32_t i = self->own; i < self->places; i++) {
    const struct consumer *peer = self->peers[i];
    cafe_position *at = &self->positions[i];
    if (at->log_id && peer->log_id && peer->log_id != at->log_id)
      return tail_other_log(err, at);
    if (at->log_id)
      continue;
    if (!peer->is_ready || !peer->log_id) {
      is_open = true;
      self->is_new[i] = self->is_new[i] || peer->is_ready;
      continue;
    }
    bool is_now = self->begins_now && !self->is_new[i];
    *at = (cafe_position){peer->log_id, peer->shard, is_now ? consumer_known(peer) : 0};
    take_given(self, at);
  }
  return self->given_count && !is_open ? tail_other_log(err, &self->given[0]) : CAFE_OK;
}

/* Whether there is something for him. *is_coming: or will be soon. */
static int look(watch *self, bool *has_some, bool *is_coming, cafe_err *err) {
  cafe_node *node = self->op->node;
  for (uint32_t i = 0; i < self->places; i++) {
    uint64_t held = changes_held(node, self, i), n = self->positions[i].n;
    if (self->peers[i]) {
      int code = tail_reach(&held, is_coming, node, self->peers[i], &self->positions[i], held, err);
      if (code)
        return code;
    }
    *has_some = *has_some || held > n;
  }
  *is_coming = *is_coming || !is_placed(self);
  return CAFE_OK;
}

static bool is_same(const change_read *read, const watch *self) {
  if (read->view != self->view || read->limit != self->limit)
    return false;
  for (uint32_t i = 0; i < read->places; i++)
    if (read->after[i].n != self->positions[i].n || read->after[i].log_id != self->positions[i].log_id)
      return false;
  return true;
}

/* Has it read, together with those of this turn who are at the same place. */
static int begin_read(change_read **begun, watch *self, cafe_err *err) {
  cafe_node *node = self->op->node;
  change_read *read = *begun;
  while (read && !is_same(read, self))
    read = read->next;
  if (!read) {
    read = changes_read(self, read_done, err);
    if (!read)
      return err->code;
    LL_PREPEND(*begun, read);
    storage_submit(node, &read->job);
  }
  DL_DELETE(node->watches, self);
  self->read = read;
  DL_APPEND(read->watches, self);
  return CAFE_OK;
}

void changes_turn(cafe_node *node, int64_t now_us) {
  change_read *begun = NULL;
  watch *each, *next;
  node->has_new_watches = false;
  DL_FOREACH_SAFE(node->watches, each, next) {
    if (node->state > NODE_DRAINING)
      break; /* whoever was told has closed it, with its transport: op_close tells the others */
    cafe_err err = {0};
    bool has_some = false, is_coming = false;
    int code = CAFE_OK;
    if (node->state == NODE_DRAINING)
      code = cafe_fail(&err, CAFE_UNAVAILABLE, "the node is draining: changes come at its next start");
    if (!code)
      code = settle_places(each, &err);
    if (!code && !each->given_count)
      code = look(each, &has_some, &is_coming, &err);
    if (!code && has_some)
      code = begin_read(&begun, each, &err);
    if (code)
      fail_watch(each, &err);
    else if (!has_some && !each->is_waiting && !is_coming)
      op_answer(each->op, NULL, NULL);
  }
  tail_turn(node, now_us);
}

/* ---- submitting ---- */

static bool is_of_view(const struct consumer *consumer, const cafe_node *node, const hosted_view *view) {
  return consumer->kind == CONSUME_VIEW && &node->registry.views[consumer->index] == view;
}

/* CAFE_NOMEM. */
static int make_places(watch *self, const cafe_node *node, cafe_arena *arena) {
  const struct consumer *consumer;
  bool is_own = self->view->type->is_inline;
  uint32_t peers = 0;
  LL_FOREACH(node->consumers, consumer) {
    is_own = is_own || (is_of_view(consumer, node, self->view) && consumer->is_local);
    peers += is_of_view(consumer, node, self->view) && !consumer->is_local;
  }
  self->own = is_own ? node->shards : 0;
  self->peers = cafe_arena_alloc(arena, (self->own + peers) * sizeof(struct consumer *));
  self->positions = cafe_arena_alloc(arena, (self->own + peers) * sizeof *self->positions);
  self->is_new = cafe_arena_alloc(arena, (self->own + peers) * sizeof *self->is_new);
  self->given = cafe_arena_alloc(arena, (self->own + peers) * sizeof *self->given);
  self->told = cafe_arena_alloc(arena, (self->own + peers) * sizeof *self->told);
  if (!self->peers || !self->positions || !self->is_new || !self->given || !self->told)
    return CAFE_NOMEM;
  self->places = self->own;
  LL_FOREACH(node->consumers, consumer) {
    if (is_of_view(consumer, node, self->view) && !consumer->is_local)
      self->peers[self->places++] = consumer;
  }
  return CAFE_OK;
}

/* One that he handed in. */
static int take_position(watch *self, const cafe_node *node, const cafe_position *given, cafe_err *err) {
  if (!given->log_id && !given->n)
    return CAFE_OK; /* of a log that nothing was known of */
  for (uint32_t i = 0; i < self->given_count; i++)
    if (self->given[i].log_id == given->log_id && self->given[i].shard == given->shard)
      return cafe_fail(err, CAFE_INVALID, "two positions are of shard %u", given->shard);
  if (self->own && given->log_id == node->log_id) {
    if (given->shard >= node->shards || given->n > node->heads[given->shard])
      return tail_other_log(err, given);
    if (self->positions[given->shard].log_id)
      return cafe_fail(err, CAFE_INVALID, "two positions are of shard %u", given->shard);
    self->positions[given->shard] = *given;
  } else {
    self->given[self->given_count++] = *given;
  }
  return CAFE_OK;
}

/* Where it begins. */
static int take_positions(watch *self, const cafe_node *node, const cafe_changes *changes, cafe_err *err) {
  int code = CAFE_OK;
  self->begins_now = !changes->positions && !changes->from_start;
  for (uint32_t i = 0; i < self->own && !changes->positions; i++)
    self->positions[i] = (cafe_position){node->log_id, i, changes->from_start ? 0 : node->heads[i]};
  if (changes->positions && (changes->from_start || changes->position_count != self->places))
    return cafe_fail(err, CAFE_INVALID,
                     "changes begin at the start, or after one position of each shard of each log that the view is "
                     "made from, as a page has them: %u",
                     self->places);
  for (uint32_t i = 0; i < self->places && changes->positions && !code; i++) {
    self->told[i] = changes->positions[i];
    code = take_position(self, node, &changes->positions[i], err);
  }
  for (uint32_t i = 0; i < self->own && !code; i++)
    if (!self->positions[i].log_id)
      return tail_other_log(err, self->given_count ? &self->given[0] : &self->told[0]);
  return code ? code : settle_places(self, err);
}

/* The end of who doesn't wait, where other nodes may keep him waiting. */
static int64_t timeout_of(const watch *self, const cafe_changes *changes) {
  if (changes->timeout_ms >= 0)
    return changes->timeout_ms;
  return self->places > self->own ? REACH_MS : 0;
}

int cafe_node_changes(cafe_op **op, cafe_node *node, const cafe_changes *given, cafe_page_cb done, void *user,
                      cafe_err *err) {
  cafe_changes changes;
  int code = read_check(node, err);
  if (!code && node->state == NODE_DRAINING)
    code = cafe_fail(err, CAFE_UNAVAILABLE, "the node is draining: changes come at its next start");
  if (!code)
    code = SIZED_READ(&changes, given, cafe_changes, timeout_ms, "CAFE_CHANGES_INIT", err);
  if (code)
    return code;
  const hosted_view *view = registry_view(node, changes.view);
  if (!view)
    return cafe_fail(err, CAFE_INVALID, "this node doesn't host the view %s",
                     changes.view ? changes.view->name : "NULL");
  if (changes.limit < 1 || changes.limit > CHANGES_MAX)
    return cafe_fail(err, CAFE_INVALID, "a page has 1 to %d changes, not %u", CHANGES_MAX, changes.limit);
  code = read_check_view(view, err);
  if (code)
    return code;
  cafe_op *made = op_make(node, NULL, watch_served, user);
  watch *self = made ? cafe_arena_alloc(made->arena, sizeof *self) : NULL;
  if (self)
    *self =
        (watch){.op = made, .view = view, .limit = changes.limit, .is_waiting = changes.timeout_ms >= 0, .done = done};
  code = self ? make_places(self, node, made->arena) : CAFE_NOMEM;
  if (!code)
    code = take_positions(self, node, &changes, err);
  if (!code && timeout_of(self, &changes) > 0)
    code = heap_push(node->deadlines, &made->deadline, node_after_us(node, timeout_of(self, &changes)));
  if (code) {
    if (made)
      op_discard(made);
    return code == CAFE_NOMEM ? cafe_fail(err, CAFE_NOMEM, "no memory to wait for changes") : code;
  }
  made->serves = self;
  DL_APPEND(node->watches, self);
  node->has_new_watches = true;
  node_pump(node);
  if (op)
    *op = made;
  return CAFE_OK;
}
