/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A tail is a window on a log of another node: a batch of its events, and a link that brings the next one when somebody
 * who has seen this one wants it. What is kept here: between `from` and `scanned` no event is missing that the view's
 * subscription asks for, and none is handed out that the view doesn't hold yet.
 *
 * Who only waits costs the peer nothing: it isn't asked before the view holds more than he has seen. All who stand in
 * the window share it. Whoever is slow finds it gone, and has one made for his own place. So there are as many as there
 * are places where somebody stands, and no more than TAILS_MAX: others wait until one ends.
 */
#include "engine/tail.h"

enum {
  TAILS_MAX = 64,        /* a batch each in memory */
  END_AFTER_US = 1000000 /* who was handed a page asks for the next one within this time, mostly */
};

/* Whoever follows is looked at again. */
static void tell(cafe_node *node) {
  node->has_new_watches = true;
  node_pump(node);
}

int tail_other_log(cafe_err *err, const cafe_position *at) {
  return cafe_fail(err, CAFE_INVALID,
                   "position %llu of shard %u is of another log, or beyond its head: it was restored from a backup. "
                   "Read the view's rows anew, and its changes from now on",
                   (unsigned long long)at->n, at->shard);
}

/* ---- the link ---- */

static int keep(tail *self, const cafe_stored_event *events, uint32_t count) {
  batch_event **end = &self->records;
  for (uint32_t i = 0; i < count; i++) {
    cafe_position position = {self->log_id, self->peer->shard, events[i].n};
    if (record_make(end, self->node, &events[i], position, self->arena))
      return cafe_fail(&self->err, CAFE_NOMEM, "no memory for events of %s", self->peer->source);
    if (*end)
      end = &(*end)->next;
  }
  return CAFE_OK;
}

static void end_by_restore(tail *self) {
  cafe_position at = {self->log_id, self->peer->shard, self->scanned};
  tail_other_log(&self->err, &at);
}

static void link_events(cafe_link *link, const cafe_stored_event *events, uint32_t count, uint64_t scanned,
                        uint64_t head) {
  tail *self = link->user;
  (void)head;
  if (!self->is_asked || self->err.code)
    return; /* it came twice */
  self->is_lost = false;
  if (link->log_id != self->log_id) {
    end_by_restore(self);
  } else if (scanned <= self->scanned) {
    self->node->transport->ops->more(self->node->transport, link);
    return;
  } else if (keep(self, events, count) == CAFE_OK) {
    self->is_asked = false;
    self->scanned = scanned;
  }
  tell(self->node);
}

static void link_lost(cafe_link *link, const cafe_err *err) {
  tail *self = link->user;
  if (err->code == CAFE_INVALID)
    end_by_restore(self);
  self->is_lost = true; /* the transport goes on by itself */
  tell(self->node);
}

static int subscribe(tail *self, cafe_err *err) {
  cafe_transport *transport = self->node->transport;
  self->link = (cafe_link){.size = sizeof self->link,
                           .service = self->peer->source,
                           .name = self->peer->name,
                           .types = self->peer->types,
                           .shard = self->peer->shard,
                           .log_id = self->log_id,
                           .after = self->from,
                           .on_events = link_events,
                           .on_lost = link_lost,
                           .user = self};
  int code = transport->ops->subscribe(transport, &self->link, err);
  self->is_linked = self->is_asked = code == CAFE_OK;
  return code;
}

/* ---- its life ---- */

static void unlink_peer(tail *self) {
  if (self->is_linked)
    self->node->transport->ops->unsubscribe(self->node->transport, &self->link);
  self->is_linked = self->is_asked = false;
}

static void end(tail *self) {
  cafe_node *node = self->node;
  unlink_peer(self);
  DL_DELETE(node->tails, self);
  cafe_arena_destroy(self->arena);
  node_free(node, self);
}

static uint32_t count_tails(const cafe_node *node) {
  const tail *each;
  uint32_t count = 0;
  DL_COUNT(node->tails, each, count);
  return count;
}

/* *out stays NULL where there are as many as may be. */
static int begin(tail **out, cafe_node *node, const struct consumer *peer, const cafe_position *after, cafe_err *err) {
  if (count_tails(node) >= TAILS_MAX)
    return CAFE_OK;
  tail *made = node_alloc(node, sizeof *made);
  if (!made)
    return cafe_fail(err, CAFE_NOMEM, "no memory for events of %s", peer->source);
  DL_APPEND(node->tails, made);
  made->node = node;
  made->peer = peer;
  made->log_id = after->log_id;
  made->from = made->scanned = after->n;
  made->end_us = INT64_MAX;
  made->arena = cafe_arena_create(&node->allocator);
  int code =
      made->arena ? subscribe(made, err) : cafe_fail(err, CAFE_NOMEM, "no memory for events of %s", peer->source);
  if (code)
    end(made);
  else
    *out = made;
  return code;
}

/* One that has what comes next, or else one that ends there. */
static tail *find(const cafe_node *node, const struct consumer *peer, const cafe_position *at) {
  tail *each, *found = NULL;
  DL_FOREACH(node->tails, each) {
    if (each->peer != peer || each->log_id != at->log_id || at->n < each->from || at->n > each->scanned)
      continue;
    found = each;
    if (each->scanned > at->n)
      break;
  }
  return found;
}

/* ---- who stands in it ---- */

int tail_reach(uint64_t *reach, bool *is_coming, cafe_node *node, const struct consumer *peer,
               const cafe_position *after, uint64_t until, cafe_err *err) {
  tail *found = find(node, peer, after);
  *reach = after->n;
  if (!found && until > after->n) {
    int code = begin(&found, node, peer, after, err);
    if (code)
      return code;
    *is_coming = *is_coming || !found;
  }
  if (!found)
    return CAFE_OK;
  found->is_needed = true;
  if (found->err.code) {
    *err = found->err;
    return err->code;
  }
  if (until <= after->n)
    return CAFE_OK;
  if (found->scanned > after->n) {
    *reach = found->scanned < until ? found->scanned : until;
  } else {
    found->is_wanted = true;
    *is_coming = *is_coming || !found->is_lost;
  }
  return CAFE_OK;
}

tail *tail_take(cafe_node *node, const struct consumer *peer, const cafe_position *after) {
  tail *found = find(node, peer, after);
  if (found)
    found->readers++;
  return found;
}

void tail_give_back(tail *self) {
  self->readers--;
  tell(self->node);
}

/* ---- the turn's share ---- */

static void ask_on(tail *self) {
  cafe_arena_reset(self->arena);
  self->records = NULL;
  self->from = self->link.after = self->scanned;
  self->is_asked = true;
  self->node->transport->ops->more(self->node->transport, &self->link);
}

void tail_turn(cafe_node *node, int64_t now_us) {
  tail *each, *next;
  DL_FOREACH_SAFE(node->tails, each, next) {
    bool is_idle = !each->is_needed && !each->readers;
    bool is_over = each->err.code || node->state != NODE_RUNNING;
    if (!is_idle)
      each->end_us = INT64_MAX;
    else if (each->end_us == INT64_MAX)
      each->end_us = now_us + END_AFTER_US;
    if (each->is_wanted && !each->is_asked && !each->readers && !is_over)
      ask_on(each);
    each->is_wanted = each->is_needed = false;
    if (!each->readers && (is_over || each->end_us <= now_us))
      end(each);
  }
}

int64_t tail_next_us(const cafe_node *node) {
  const tail *each;
  int64_t next = INT64_MAX;
  DL_FOREACH(node->tails, each) next = each->end_us < next ? each->end_us : next;
  return next;
}

void tail_close(cafe_node *node) {
  tail *each;
  DL_FOREACH(node->tails, each) unlink_peer(each);
}

void tail_destroy(cafe_node *node) {
  while (node->tails)
    end(node->tails);
}
