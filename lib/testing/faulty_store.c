/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A store that fails on demand. The invariant: a call either reaches the store inside whole, or not at all; what
 * differs is only what the caller is told. A commit that was done and never answered is the case that matters: results
 * are taken back, so that nobody can learn from them what a crash would have hidden.
 *
 * The lock covers faults and counts alone, never a call: the two lanes have to meet in the store inside as they would
 * without this one.
 */
#include "cafe/testing/faults.h"

#include <assert.h>
#include <pthread.h>
#include <string.h>

#include "base/sized.h"

typedef struct faulty_store {
  cafe_store base;
  cafe_store_ops ops;
  cafe_allocator allocator;
  cafe_store *inner;
  pthread_mutex_t lock;
  cafe_store_faults faults;
  cafe_store_counts counts;
} faulty_store;

static faulty_store *self_of(cafe_store *store) { return (faulty_store *)(void *)store; }

static int dead(cafe_err *err) {
  return cafe_fail(err, CAFE_UNAVAILABLE, "The store is dead, by a fault that was asked for.");
}

/* Called with the lock held. */
static int count_call(faulty_store *self, cafe_err *err) {
  uint64_t number = ++self->counts.calls;
  if (self->counts.is_dead) {
    return dead(err);
  }
  uint64_t in_a_row = self->faults.fail_calls ? self->faults.fail_calls : 1;
  if (self->faults.fail_call && number >= self->faults.fail_call && number - self->faults.fail_call < in_a_row) {
    self->counts.faults++;
    cafe_code code = self->faults.fail_code ? (cafe_code)self->faults.fail_code : CAFE_UNAVAILABLE;
    return cafe_fail(err, code, "Call %llu failed, by a fault that was asked for.", (unsigned long long)number);
  }
  return CAFE_OK;
}

/* Whether the next call goes through. */
static int enter(faulty_store *self, cafe_err *err) {
  (void)pthread_mutex_lock(&self->lock);
  int code = count_call(self, err);
  (void)pthread_mutex_unlock(&self->lock);
  return code;
}

/* After a call that went through: a store that was killed meanwhile tells nobody what came of it. */
static int leave(faulty_store *self, int code, cafe_err *err) {
  (void)pthread_mutex_lock(&self->lock);
  bool is_dead = self->counts.is_dead;
  (void)pthread_mutex_unlock(&self->lock);
  return is_dead ? dead(err) : code;
}

static int open_store(cafe_store *store, cafe_store_info *out, const cafe_store_setup *setup, cafe_err *err) {
  faulty_store *self = self_of(store);
  int code = enter(self, err);
  return code ? code : leave(self, self->inner->ops->open(self->inner, out, setup, err), err);
}

static void take_back_result(cafe_unit *unit) {
  unit->result = CAFE_UNIT_OPEN;
  memset(&unit->key_found, 0, sizeof(unit->key_found));
}

/* A method that writes. Whether it goes through, and whether the store dies when it has. */
static int enter_write(faulty_store *self, bool *dies_after, cafe_err *err) {
  (void)pthread_mutex_lock(&self->lock);
  uint64_t number = ++self->counts.commits;
  int code = count_call(self, err);
  *dies_after = code == CAFE_OK && number == self->faults.die_after_commit;
  if (code == CAFE_OK && number == self->faults.die_before_commit) {
    self->counts.faults++;
    self->counts.is_dead = true;
    code = dead(err);
  }
  (void)pthread_mutex_unlock(&self->lock);
  return code;
}

static int leave_write(faulty_store *self, bool dies_after, int code, cafe_err *err) {
  if (dies_after) {
    (void)pthread_mutex_lock(&self->lock);
    self->counts.faults++;
    self->counts.is_dead = true;
    (void)pthread_mutex_unlock(&self->lock);
  }
  return leave(self, code, err);
}

static int commit(cafe_store *store, cafe_batch *batch, cafe_err *err) {
  faulty_store *self = self_of(store);
  bool dies_after;
  int code = enter_write(self, &dies_after, err);
  if (code) {
    return code;
  }
  code = self->inner->ops->commit(self->inner, batch, err);
  int answered = leave_write(self, dies_after, code, err);
  for (uint32_t i = 0; answered != code && i < batch->unit_count; i++) {
    take_back_result(batch->units[i]);
  }
  return answered;
}

static int forget_keys(cafe_store *store, cafe_forget *forget, cafe_err *err) {
  faulty_store *self = self_of(store);
  bool dies_after;
  int code = enter_write(self, &dies_after, err);
  if (code) {
    return code;
  }
  cafe_forget before = *forget;
  code = self->inner->ops->forget_keys(self->inner, forget, err);
  int answered = leave_write(self, dies_after, code, err);
  if (answered != code) {
    *forget = before;
  }
  return answered;
}

static int make_shadow(cafe_store *store, const cafe_table *shadow, const cafe_table *of, cafe_err *err) {
  faulty_store *self = self_of(store);
  bool dies_after;
  int code = enter_write(self, &dies_after, err);
  return code ? code : leave_write(self, dies_after, self->inner->ops->make_shadow(self->inner, shadow, of, err), err);
}

static int drop_shadow(cafe_store *store, const cafe_table *shadow, cafe_err *err) {
  faulty_store *self = self_of(store);
  bool dies_after;
  int code = enter_write(self, &dies_after, err);
  return code ? code : leave_write(self, dies_after, self->inner->ops->drop_shadow(self->inner, shadow, err), err);
}

static int replace(cafe_store *store, const cafe_replacement *what, cafe_err *err) {
  faulty_store *self = self_of(store);
  bool dies_after;
  int code = enter_write(self, &dies_after, err);
  if (code) {
    return code;
  }
  code = self->inner->ops->replace(self->inner, what, err);
  int answered = leave_write(self, dies_after, code, err);
  if (answered != code) {
    take_back_result(what->unit);
  }
  return answered;
}

static int load(cafe_store *store, uint64_t key, cafe_event_sink on_event, cafe_row_sink on_row, void *user,
                cafe_err *err) {
  faulty_store *self = self_of(store);
  int code = enter(self, err);
  return code ? code : leave(self, self->inner->ops->load(self->inner, key, on_event, on_row, user, err), err);
}

static int read_log(cafe_store *store, cafe_log_query *query, cafe_event_sink on_event, void *user, cafe_err *err) {
  faulty_store *self = self_of(store);
  int code = enter(self, err);
  return code ? code : leave(self, self->inner->ops->read_log(self->inner, query, on_event, user, err), err);
}

static int read_rows(cafe_store *store, const cafe_row_query *query, cafe_row_sink on_row, void *user, cafe_err *err) {
  faulty_store *self = self_of(store);
  int code = enter(self, err);
  return code ? code : leave(self, self->inner->ops->read_rows(self->inner, query, on_row, user, err), err);
}

static int read_changes(cafe_store *store, cafe_change_query *query, cafe_event_sink on_event, cafe_row_sink on_row,
                        void *user, cafe_err *err) {
  faulty_store *self = self_of(store);
  int code = enter(self, err);
  if (code == CAFE_OK) {
    code = leave(self, self->inner->ops->read_changes(self->inner, query, on_event, on_row, user, err), err);
  }
  return code;
}

static int read_key(cafe_store *store, cafe_key_record *out, cafe_slice scope, cafe_slice key, cafe_slice fingerprint,
                    cafe_arena *arena, cafe_err *err) {
  faulty_store *self = self_of(store);
  int code = enter(self, err);
  if (code == CAFE_OK) {
    code = leave(self, self->inner->ops->read_key(self->inner, out, scope, key, fingerprint, arena, err), err);
  }
  return code;
}

static int read_checkpoints(cafe_store *store, const char *subscription, cafe_checkpoint_sink on_checkpoint, void *user,
                            cafe_err *err) {
  faulty_store *self = self_of(store);
  int code = enter(self, err);
  if (code == CAFE_OK) {
    code = leave(self, self->inner->ops->read_checkpoints(self->inner, subscription, on_checkpoint, user, err), err);
  }
  return code;
}

/* One that was killed is a process that ended: nobody in it is told of anything. */
static bool is_lost(const cafe_store *store) {
  const cafe_store *inner = ((const faulty_store *)(const void *)store)->inner;
  return SIZED_HAS(inner->ops, is_lost) && inner->ops->is_lost(inner);
}

static int backup(cafe_store *store, cafe_backup *backup, cafe_err *err) {
  faulty_store *self = self_of(store);
  int code = enter(self, err);
  if (code == CAFE_OK) {
    code = leave(self, self->inner->ops->backup(self->inner, backup, err), err);
  }
  if (code) {
    self->inner->ops->end_backup(self->inner, backup); /* a failure has to leave nothing of it */
  }
  return code;
}

/* Not a call: it has nothing to fail with. */
static void end_backup(cafe_store *store, cafe_backup *backup) {
  faulty_store *self = self_of(store);
  self->inner->ops->end_backup(self->inner, backup);
}

static void destroy(cafe_store *store) {
  faulty_store *self = self_of(store);
  cafe_allocator allocator = self->allocator;
  (void)pthread_mutex_destroy(&self->lock);
  (void)allocator.resize(self, 0, allocator.user);
}

int cafe_faulty_store_create(cafe_store **out, cafe_store *inner, const cafe_allocator *allocator, cafe_err *err) {
  if (!allocator) {
    allocator = cafe_allocator_default();
  }
  faulty_store *self = allocator->resize(NULL, sizeof(*self), allocator->user);
  if (!self) {
    return cafe_fail(err, CAFE_NOMEM, "Memory was refused for a faulty store.");
  }
  memset(self, 0, sizeof(*self));
  self->allocator = *allocator;
  self->inner = inner;
  self->ops = (cafe_store_ops){
      .size = sizeof(cafe_store_ops),
      .name = inner->ops->name,
      .is_inline = inner->ops->is_inline,
      .open = open_store,
      .commit = commit,
      .load = load,
      .read_log = read_log,
      .read_rows = read_rows,
      .read_key = read_key,
      .read_checkpoints = read_checkpoints,
      .destroy = destroy,
      .read_changes = SIZED_HAS(inner->ops, read_changes) ? read_changes : NULL,
      .is_lost = is_lost,
      .backup = SIZED_HAS(inner->ops, backup) ? backup : NULL,
      .end_backup = SIZED_HAS(inner->ops, end_backup) ? end_backup : NULL,
      .forget_keys = SIZED_HAS(inner->ops, forget_keys) ? forget_keys : NULL,
      .make_shadow = SIZED_HAS(inner->ops, make_shadow) ? make_shadow : NULL,
      .drop_shadow = SIZED_HAS(inner->ops, drop_shadow) ? drop_shadow : NULL,
      .replace = SIZED_HAS(inner->ops, replace) ? replace : NULL,
  };
  self->base.ops = &self->ops;
  int failure = pthread_mutex_init(&self->lock, NULL);
  if (failure) {
    (void)allocator->resize(self, 0, allocator->user);
    return cafe_fail_detail(err, CAFE_UNAVAILABLE, failure, "The system refused a lock for a faulty store.");
  }
  *out = &self->base;
  return CAFE_OK;
}

void cafe_faulty_store_set(cafe_store *store, const cafe_store_faults *faults) {
  cafe_store_faults own = CAFE_STORE_FAULTS_INIT;
  int code =
      faults ? SIZED_READ(&own, faults, cafe_store_faults, die_after_commit, "CAFE_STORE_FAULTS_INIT", NULL) : CAFE_OK;
  assert(code == CAFE_OK);
  (void)code; /* a program's mistake; none are set then */
  faulty_store *self = self_of(store);
  (void)pthread_mutex_lock(&self->lock);
  self->faults = own;
  self->counts.calls = self->counts.commits = self->counts.faults = 0;
  (void)pthread_mutex_unlock(&self->lock);
}

static void set_dead(cafe_store *store, bool is_dead) {
  faulty_store *self = self_of(store);
  (void)pthread_mutex_lock(&self->lock);
  self->counts.is_dead = is_dead;
  (void)pthread_mutex_unlock(&self->lock);
}

void cafe_faulty_store_kill(cafe_store *store) { set_dead(store, true); }

void cafe_faulty_store_revive(cafe_store *store) { set_dead(store, false); }

void cafe_faulty_store_count(cafe_store *store, cafe_store_counts *out) {
  faulty_store *self = self_of(store);
  size_t size = out->size < sizeof(*out) ? out->size : sizeof(*out);
  (void)pthread_mutex_lock(&self->lock);
  memcpy(out, &self->counts, size);
  (void)pthread_mutex_unlock(&self->lock);
  out->size = size;
}
