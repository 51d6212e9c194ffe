/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What every backend needs and none should write again. The invariant kept here: a batch that isn't well formed never
 * reaches a log. A stream with a hole in its versions, or a unit over two partitions, would be found only when somebody
 * folds or moves it, long after.
 */
#include "store/store.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

void cafe_store_destroy(cafe_store *store) {
  if (store) {
    store->ops->destroy(store);
  }
}

int store_random_id(uint64_t *out, cafe_err *err) {
  uint64_t id;
  do {
    if (getentropy(&id, sizeof(id)) != 0) {
      return cafe_fail_detail(err, CAFE_UNAVAILABLE, errno, "The system gives no random bytes for a log id: %s.",
                              strerror(errno));
    }
    id &= CAFE_KEY_MAX;
  } while (id == 0);
  *out = id;
  return CAFE_OK;
}

bool store_key_is_free(const cafe_key_write *write, uint64_t holder, bool has_reply) {
  return write->mode == CAFE_KEY_REPLY || (write->replaces != 0 && write->replaces == holder && !has_reply);
}

static bool is_key(uint64_t key) { return key != 0 && key <= CAFE_KEY_MAX; }

static bool is_key_of(const cafe_unit *unit, uint64_t key) {
  return key == unit->key || (is_key(key) && cafe_partition(key) == cafe_partition(unit->key));
}

static bool same_name(const char *a, const char *b) { return a == b || strcmp(a, b) == 0; }

/* Streams may take turns in a unit; each one's own events follow each other. */
static const char *check_events(const cafe_unit *unit) {
  for (uint32_t i = 0; i < unit->event_count; i++) {
    const cafe_stored_event *event = &unit->events[i];
    if (!event->aggregate || !event->type || event->version == 0) {
      return "an event lacks its aggregate, type or version";
    }
    if (!is_key_of(unit, event->key)) {
      return "an event's key is out of range or of another partition";
    }
    for (uint32_t j = i; j-- > 0;) {
      const cafe_stored_event *before = &unit->events[j];
      if (before->key == event->key && same_name(before->aggregate, event->aggregate)) {
        if (before->version + 1 != event->version) {
          return "versions of a stream don't follow each other";
        }
        break;
      }
    }
  }
  return NULL;
}

static const char *check_rows(const cafe_unit *unit) {
  for (uint32_t i = 0; i < unit->row_count; i++) {
    const cafe_row_write *write = &unit->rows[i];
    if (!write->table) {
      return "a row lacks its table";
    }
    bool is_anywhere = write->table->flags & CAFE_TABLE_ANYWHERE;
    if (is_anywhere ? !is_key(write->key) : !is_key_of(unit, write->key)) {
      return "a row's key is out of range or of another partition";
    }
    if (!write->data && write->expected == 0) {
      return "a row that isn't there is to be removed";
    }
    if (write->sub != 0 && !write->table->sub_name) {
      return "a row has a second key that its table lacks";
    }
  }
  return NULL;
}

static const char *check_unit(const cafe_unit *unit) {
  if (!is_key(unit->key)) {
    return "its key is out of range";
  }
  const char *wrong = check_events(unit);
  if (!wrong) {
    wrong = check_rows(unit);
  }
  const cafe_key_write *key = unit->client_key;
  if (!wrong && key && (key->key.size == 0 || key->mode < CAFE_KEY_CLAIM || key->mode > CAFE_KEY_BOTH)) {
    wrong = "its client key is empty or has no mode";
  }
  for (uint32_t i = 0; !wrong && i < unit->checkpoint_count; i++) {
    const cafe_checkpoint *checkpoint = &unit->checkpoints[i];
    if (!checkpoint->subscription || checkpoint->partition < -1 || checkpoint->partition >= (int32_t)CAFE_PARTITIONS ||
        checkpoint->n == 0) {
      wrong = "a checkpoint has no subscription, no partition that exists, or no position";
    }
  }
  return wrong;
}

int store_batch_check(const cafe_batch *batch, cafe_err *err) {
  for (uint32_t i = 0; i < batch->unit_count; i++) {
    const char *wrong = check_unit(batch->units[i]);
    if (wrong) {
      return cafe_fail(err, CAFE_INVALID, "Unit %u of the batch, of key %llu, can't be written: %s.", (unsigned)i,
                       (unsigned long long)batch->units[i]->key, wrong);
    }
  }
  return CAFE_OK;
}
