/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Durable timers. The table `wakes` has a row for each key that has anything due: a saga's timeout or retry, a task, a
 * request under way.
 *
 * What is kept here: the row is never later than what is due, and is written in the unit that makes it due; so after
 * any crash the key is looked at in time. It may be earlier: then the look finds nothing, and puts the row right. That
 * is why a running order doesn't rewrite it at each step: a tick does, once the order has been quiet for a while.
 *
 * In memory: keys that are cached have their own due time; of the others, the earliest rows are remembered. When those
 * are used up the table is read again; while none is due it isn't read at all.
 */
#include "engine/timer.h"

enum {
  QUIET_MS = 1500,    /* an order that moves again within this time needs its row not put right */
  AGAIN_MS = 1000,    /* after a failed look */
  SCAN_ROWS = 1000,   /* remembered at once: 64 KB or so */
  LOOKS_AT_ONCE = 256 /* keys being taken up after a restart: enough to fill a batch, few enough to serve others */
};

typedef struct far_wake {
  heap_item due;
  uint64_t key;
} far_wake;

typedef struct scan_job {
  storage_job job;
  int64_t last_due_ms;
  uint32_t count, limit;
  far_wake *seen[];
} scan_job;

struct timer_state {
  heap *far;          /* rows of keys that aren't in memory */
  int64_t horizon_ms; /* every row due before it is remembered, or its key is in memory */
  int64_t scan_at_ms; /* not before */
  uint32_t looks;     /* ticks under way */
  uint32_t scan_rows; /* for the next scan */
  scan_job *scan;
};

/* ---- one key ---- */

static void look_finished(cafe_node *node, struct act *act, int code, const cafe_err *err) {
  struct subject *subject = CONTAINER(act, struct subject, tick);
  subject->is_ticking = false;
  node->timers->looks--;
  if (code && node->state <= NODE_DRAINING) {
    if (code != CAFE_CONFLICT)
      node_log(node, CAFE_LOG_WARN, subject->key, act->trace, "what is due can't be done: %s",
               err ? err->text : cafe_code_name(code));
    timer_retry(subject);
  }
  if (!subject->awaits_tick)
    return;
  subject->awaits_tick = false; /* it was canceled before it came to its key */
  subject_settle(subject);
}

bool timer_is_for(const struct subject *subject) {
  node_state state = subject->node->state;
  return state == NODE_RUNNING || (state == NODE_DRAINING && subject->waiters);
}

static bool prepare_look(struct subject *subject) {
  cafe_node *node = subject->node;
  if (subject->is_ticking || node->state > NODE_DRAINING)
    return false;
  subject->is_ticking = true;
  subject_rouse(subject); /* the act lies in it, and waits in a queue until it is taken */
  node->timers->looks++;
  memset(&subject->tick, 0, sizeof subject->tick);
  subject->tick.kind = ACT_TICK;
  subject->tick.key = subject->key;
  subject->tick.subject = subject;
  subject->tick.finish = look_finished;
  return true;
}

static void look_at(struct subject *subject) {
  if (timer_is_for(subject) && prepare_look(subject))
    act_submit(subject->node, &subject->tick);
}

void timer_arm_at(struct subject *subject, int64_t due_ms) {
  if (due_ms && due_ms < subject->due.due)
    heap_update(subject->node->due, &subject->due, due_ms);
  node_pump(subject->node);
}

void timer_retry(struct subject *subject) { timer_arm_at(subject, node_utc_ms(subject->node) + AGAIN_MS); }

void timer_committed(struct subject *subject, const struct unit *unit) {
  int64_t real = unit->due_ms;
  int64_t now = node_utc_ms(subject->node);
  if (subject->task_due_ms && (!real || subject->task_due_ms < real))
    real = subject->task_due_ms;
  int64_t due = real ? real : INT64_MAX;
  bool is_early = subject->wake_written_ms && (!real || subject->wake_written_ms < real);
  bool is_busy = subject->tasks || subject->requests; /* then an early row is right */
  if (is_early && !is_busy && due > now + QUIET_MS)
    due = now + QUIET_MS;
  heap_update(subject->node->due, &subject->due, due);
}

void timer_loaded(struct subject *subject) {
  bool has_saga = false;
  for (uint32_t i = 0; i < subject->node->registry.saga_count; i++)
    has_saga = has_saga || subject->sagas[i];
  if (!has_saga && !subject->wake_written_ms && !subject->attempts) {
    subject->is_resumed = true; /* nothing was left */
    return;
  }
  /* Before anything else is decided, so that what a crash left is known as such. */
  struct act *queued = NULL;
  DL_FOREACH(subject->queue, queued) {
    if (queued == &subject->tick)
      break;
  }
  if (queued)
    DL_DELETE(subject->queue, queued);
  if (queued || prepare_look(subject))
    DL_PREPEND(subject->queue, &subject->tick);
  else
    subject->awaits_tick = subject->is_ticking;
}

/* ---- keys that aren't in memory ---- */

static void forget_far(cafe_node *node, far_wake *far) {
  heap_remove(node->timers->far, &far->due);
  node_free(node, far);
}

static void remember(cafe_node *node, uint64_t key, int64_t due_ms) {
  struct timer_state *timers = node->timers;
  if (due_ms >= timers->horizon_ms && !timers->scan)
    return; /* read when it is nearer; but a scan under way may have passed its place, and moves the horizon */
  far_wake *far = node_alloc(node, sizeof *far);
  if (far && heap_push(timers->far, &far->due, due_ms) == CAFE_OK) {
    far->key = key;
    return;
  }
  node_free(node, far);
  timers->horizon_ms = due_ms; /* the table remembers */
}

void timer_remember(struct subject *subject) {
  int64_t due = subject->due.due;
  /* What failed is looked at when timer_retry said, not at once because its row is of the past. */
  bool has_failed = subject->state == SUBJECT_STALE && due != INT64_MAX;
  if (!has_failed && subject->wake_written_ms && subject->wake_written_ms < due)
    due = subject->wake_written_ms;
  if (due != INT64_MAX && subject->node->state == NODE_RUNNING)
    remember(subject->node, subject->key, due);
}

static int see_row(const cafe_table *table, uint64_t key, uint64_t sub, uint64_t version, const void *data,
                   void *user) {
  (void)table, (void)sub, (void)version;
  scan_job *scan = user;
  far_wake *far = node_alloc(scan->job.node, sizeof *far);
  if (!far)
    return CAFE_NOMEM;
  far->key = key;
  scan->last_due_ms = ((const wake_row *)data)->due_ms;
  far->due.due = scan->last_due_ms;
  scan->seen[scan->count++] = far;
  return CAFE_OK;
}

static int run_scan(storage_job *base, cafe_err *err) {
  scan_job *scan = CONTAINER(base, scan_job, job);
  cafe_store *store = base->node->store;
  cafe_row_query query = {sizeof query, &engine_tables[TABLE_WAKES], NULL, 0, 0, 0, 0, scan->limit};
  return store->ops->read_rows(store, &query, see_row, scan, err);
}

static void scan_done(storage_job *base) {
  scan_job *scan = CONTAINER(base, scan_job, job);
  cafe_node *node = base->node;
  struct timer_state *timers = node->timers;
  bool is_whole = base->code == CAFE_OK && scan->count < scan->limit;
  uint32_t known = 0;
  timers->scan = NULL;
  timers->horizon_ms = is_whole ? INT64_MAX : scan->count ? scan->last_due_ms : 0;
  timers->scan_at_ms = base->code ? node_utc_ms(node) + AGAIN_MS : 0;
  for (uint32_t i = 0; i < scan->count; i++) {
    far_wake *far = scan->seen[i];
    int64_t due = far->due.due;
    memset(&far->due, 0, sizeof far->due);
    bool is_known = subject_find(node, far->key) != NULL;
    known += is_known;
    if (is_known || heap_push(timers->far, &far->due, due)) {
      if (!is_known && due < timers->horizon_ms)
        timers->horizon_ms = due;
      node_free(node, far);
    }
  }
  /* Keys in memory may keep early rows for long (a peer is down, and all that ask it try again): beyond them there are
   * others, and only a longer look finds them. */
  if (is_whole)
    timers->scan_rows = SCAN_ROWS;
  else if (scan->count && known == scan->count)
    timers->scan_rows *= 2;
  else if (heap_count(timers->far) == 0 && !timers->scan_at_ms)
    timers->scan_at_ms = node_utc_ms(node) + AGAIN_MS;
  node_free(node, scan);
}

static void scan(cafe_node *node) {
  struct timer_state *timers = node->timers;
  scan_job *job = node_alloc(node, sizeof *job + timers->scan_rows * sizeof job->seen[0]);
  if (!job) {
    timers->scan_at_ms = node_utc_ms(node) + AGAIN_MS;
    return;
  }
  job->limit = timers->scan_rows;
  job->job.run = run_scan;
  job->job.done = scan_done;
  job->job.lane = CAFE_LANE_READ;
  timers->scan = job;
  storage_submit(node, &job->job);
}

static bool wants_scan(const struct timer_state *timers) {
  if (timers->scan || timers->horizon_ms == INT64_MAX || timers->looks >= LOOKS_AT_ONCE)
    return false;
  /* Beyond the horizon are only those that had room when others, due earlier, had none. */
  const heap_item *far = heap_peek(timers->far);
  return !far || far->due > timers->horizon_ms;
}

static int64_t scan_ms(const struct timer_state *timers) {
  return timers->horizon_ms > timers->scan_at_ms ? timers->horizon_ms : timers->scan_at_ms;
}

/* ---- the turn's share ---- */

static void take_far(cafe_node *node, int64_t now_ms) {
  struct timer_state *timers = node->timers;
  heap_item *item;
  while (timers->looks < LOOKS_AT_ONCE && (item = heap_peek(timers->far)) && item->due <= now_ms) {
    far_wake *far = CONTAINER(item, far_wake, due);
    cafe_err err;
    struct subject *subject = subject_get(node, far->key, &err);
    if (!subject) {
      heap_update(timers->far, item, now_ms + AGAIN_MS);
      return;
    }
    forget_far(node, far);
    look_at(subject);
  }
}

void timer_turn(cafe_node *node, int64_t now_us) {
  (void)now_us;
  int64_t now_ms = node_utc_ms(node);
  if (node->state > NODE_DRAINING)
    return;
  heap_item *item;
  while ((item = heap_peek(node->due)) && item->due <= now_ms) {
    struct subject *subject = CONTAINER(item, struct subject, due);
    heap_update(node->due, item, INT64_MAX);
    look_at(subject);
  }
  if (node->state != NODE_RUNNING)
    return;
  take_far(node, now_ms);
  if (wants_scan(node->timers) && scan_ms(node->timers) <= now_ms)
    scan(node);
}

int64_t timer_next_ms(const cafe_node *node) {
  const struct timer_state *timers = node->timers;
  if (node->state > NODE_DRAINING)
    return INT64_MAX;
  heap_item *near = heap_peek(node->due);
  int64_t next = near ? near->due : INT64_MAX;
  if (node->state != NODE_RUNNING)
    return next;
  heap_item *far = timers->looks < LOOKS_AT_ONCE ? heap_peek(timers->far) : NULL;
  if (far && far->due < next)
    next = far->due;
  if (wants_scan(timers) && scan_ms(timers) < next)
    next = scan_ms(timers);
  return next;
}

int timer_create(cafe_node *node) {
  node->timers = node_alloc(node, sizeof *node->timers);
  if (!node->timers)
    return CAFE_NOMEM;
  node->timers->scan_rows = SCAN_ROWS;
  node->timers->far = heap_create(&node->allocator);
  return node->timers->far ? CAFE_OK : CAFE_NOMEM;
}

void timer_destroy(cafe_node *node) {
  if (!node->timers)
    return;
  heap_item *item;
  while (node->timers->far && (item = heap_peek(node->timers->far)))
    forget_far(node, CONTAINER(item, far_wake, due));
  heap_destroy(node->timers->far);
  node_free(node, node->timers);
  node->timers = NULL;
}
