/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Subscribers of a trial. The invariant: each batch is compared with the log that it is of: every wanted event from the
 * link's place up to `scanned` is there, as it was appended, in order, and no other; and it came when one was asked
 * for.
 */
#include <inttypes.h>

#include "testing/transport_trial.h"

const char *const trial_types[] = {"Filled", "Spilled", NULL};
const char *const trial_spilled_only[] = {"Spilled", NULL};
const char *const trial_no_types[] = {NULL};

bool trial_is_wanted(const cafe_link *link, const cafe_stored_event *event) {
  if (link->partitions && !(link->partitions >> cafe_partition(event->key) & 1)) {
    return false;
  }
  for (const char *const *type = link->types; *type; type++) {
    if (strcmp(*type, event->type) == 0) {
      return true;
    }
  }
  return false;
}

static bool is_same(const cafe_stored_event *a, const cafe_stored_event *b) {
  return a->n == b->n && a->shard == b->shard && a->key == b->key && a->version == b->version &&
         a->time_ms == b->time_ms && strcmp(a->aggregate, b->aggregate) == 0 && strcmp(a->type, b->type) == 0 &&
         cafe_slice_equal(a->trace, b->trace) && cafe_slice_equal(a->data, b->data) &&
         cafe_slice_equal(a->meta, b->meta);
}

static void verify_batch(trial_reader *self, const cafe_stored_event *events, uint32_t count, uint64_t scanned,
                         uint64_t head) {
  trial *t = self->t;
  if (self->link.shard >= TRIAL_SHARDS) {
    trial_note(t, "a shard that there isn't gave a batch");
    return;
  }
  const trial_log *log = &self->from->logs[self->link.shard];
  uint32_t found = 0;
  if (scanned < self->link.after || scanned > head || head > trial_head(self->from, self->link.shard)) {
    trial_note(t, "after %" PRIu64 " a batch has scanned %" PRIu64 " of %" PRIu64 ", where the log has %" PRIu64,
               self->link.after, scanned, head, trial_head(self->from, self->link.shard));
    return;
  }
  for (uint64_t n = self->link.after + 1; n <= scanned; n++) {
    const cafe_stored_event *event = &log->events[n - log->base - 1];
    if (trial_is_wanted(&self->link, event)) {
      if (found == count || events[found].n != n) {
        trial_note(t, "after %" PRIu64 " event %" PRIu64 " is missing, or not in order", self->link.after, n);
        return;
      }
      if (!is_same(&events[found], event)) {
        trial_note(t, "event %" PRIu64 " isn't as it was appended", n);
      }
      found++;
    }
  }
  if (found != count) {
    trial_note(t, "after %" PRIu64 " a batch has %" PRIu32 " events, of which %" PRIu32 " are wanted", self->link.after,
               count, found);
  }
}

static void on_events(cafe_link *link, const cafe_stored_event *events, uint32_t count, uint64_t scanned,
                      uint64_t head) {
  trial_reader *self = link->user;
  trial *t = self->t;
  trial_called(t, "on_events");
  if (!self->is_subscribed || self->is_refused) {
    trial_note(t, "on_events was called after %s", self->is_refused ? "a refusal" : "unsubscribe");
    return;
  }
  if (link->log_id != self->from->log_id) {
    trial_note(t, "a batch came without its log's id in the link");
  }
  verify_batch(self, events, count, scanned, head);
  if (self->has_batch) {
    self->repeats++;
    if (!self->may_get_twice || scanned < self->scanned) {
      trial_note(t, "a batch came without being asked for, up to %" PRIu64 " after one up to %" PRIu64, scanned,
                 self->scanned);
    }
  } else {
    self->events += count;
  }
  self->batches++;
  self->has_batch = true;
  self->scanned = scanned;
  self->head = head;
  if (self->on_batch) {
    self->on_batch(self);
  }
  if (self->asks_inside && self->is_subscribed) {
    trial_more(self);
  }
}

static void on_lost(cafe_link *link, const cafe_err *err) {
  trial_reader *self = link->user;
  trial_called(self->t, "on_lost");
  if (!self->is_subscribed || self->is_refused) {
    trial_note(self->t, "on_lost was called after %s", self->is_refused ? "a refusal" : "unsubscribe");
    return;
  }
  if (!err || err->code == CAFE_OK || !err->text[0]) {
    trial_note(self->t, "on_lost was given no error, or one without a text");
    return;
  }
  self->losses++;
  self->loss = *err;
  self->is_refused = err->code == CAFE_INVALID;
  if (self->on_loss) {
    self->on_loss(self);
  }
}

trial_reader *trial_reader_new(trial *t, uint32_t at, const char *service) {
  trial_reader *self = check_alloc(&t->check, sizeof(*self));
  self->t = t;
  self->at = at;
  for (uint32_t end = 0; end < TRIAL_ENDS; end++) {
    for (const char *const *name = cafe_transport_contract_services(end); *name; name++) {
      self->from = strcmp(*name, service) == 0 ? t->ends[end] : self->from;
    }
  }
  self->link = (cafe_link){.size = sizeof(self->link),
                           .service = service,
                           .name = "trial",
                           .types = trial_types,
                           .on_events = on_events,
                           .on_lost = on_lost,
                           .user = self};
  self->next = t->readers;
  t->readers = self;
  return self;
}

int trial_try_subscribe(trial_reader *reader) {
  trial *t = reader->t;
  cafe_transport *transport = t->ends[reader->at]->transport;
  int code;
  reader->is_subscribed = true;
  TRIAL_CALL(t, "subscribe", code = transport->ops->subscribe(transport, &reader->link, &t->check.err));
  reader->is_subscribed = code == CAFE_OK;
  return code;
}

void trial_subscribe(trial_reader *reader) {
  check_code(&reader->t->check, __LINE__, "subscribe", trial_try_subscribe(reader), CAFE_OK);
}

void trial_unsubscribe(trial_reader *reader) {
  cafe_transport *transport = reader->t->ends[reader->at]->transport;
  reader->is_subscribed = false;
  reader->has_batch = false;
  TRIAL_CALL(reader->t, "unsubscribe", transport->ops->unsubscribe(transport, &reader->link));
}

void trial_more(trial_reader *reader) {
  cafe_transport *transport = reader->t->ends[reader->at]->transport;
  reader->link.after = reader->scanned;
  reader->has_batch = false;
  TRIAL_CALL(reader->t, "more", transport->ops->more(transport, &reader->link));
}

void trial_read_on(trial *t) {
  for (trial_reader *reader = t->readers; reader; reader = reader->next) {
    if (reader->has_batch && !reader->is_slow && !reader->is_refused) {
      trial_more(reader);
    }
  }
}

void trial_read_all(trial_reader *reader) {
  TRIAL_UNTIL(reader->t, reader->link.after == trial_head(reader->from, reader->link.shard),
              "a subscriber has read up to %" PRIu64 " of %" PRIu64 ", and gets nothing more%s%s", reader->link.after,
              trial_head(reader->from, reader->link.shard), reader->losses ? ", lost: " : "", reader->loss.text);
}
