/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Timers.
 *
 * They come and go with every request, so their handles are kept and reused: a uv_close each would cost a turn. One
 * that is due already isn't given to uv_timer: if it starts itself anew with no delay, libuv (before 1.45) would stay
 * in one turn for ever. It goes to a queue that a uv_idle empties once an iteration, which also keeps the poll from
 * waiting.
 */
#include <utlist.h>

#include "loop/adapter.h"

struct timer_entry {
  uv_timer_t uv;
  cafe_timer *timer; /* NULL: free, in `spare` */
  bool is_due;       /* in `due`, not in uv's heap */
  struct timer_entry *prev, *next;
};

static void entry_retire(adapter *self, timer_entry *entry) {
  if (entry->is_due) {
    DL_DELETE(self->due, entry);
    entry->is_due = false;
    if (!self->due) {
      (void)uv_idle_stop(&self->idle);
    }
  } else {
    (void)uv_timer_stop(&entry->uv);
  }
}

static void entry_fire(adapter *self, timer_entry *entry) {
  cafe_timer *timer = entry->timer;
  entry_retire(self, entry);
  entry->timer = NULL;
  DL_PREPEND(self->spare, entry);
  timer->loop_data[0] = NULL;
  self->active--;
  bool outer = adapter_dispatch_begin(self);
  timer->fire(timer);
  adapter_dispatch_end(self, outer);
}

static void on_timer(uv_timer_t *uv) {
  timer_entry *entry = (timer_entry *)uv;
  entry_fire(uv->data, entry);
}

static void on_idle(uv_idle_t *idle) {
  adapter *self = idle->data;
  /* What a callback starts is for the next iteration, what it stops must be gone from this one: so the list stays in
   * place, and a marker tells where this iteration ends. */
  timer_entry marker;
  memset(&marker, 0, sizeof(marker));
  DL_APPEND(self->due, &marker);
  while (self->due != &marker) {
    entry_fire(self, self->due);
  }
  DL_DELETE(self->due, &marker);
  if (!self->due) {
    (void)uv_idle_stop(idle);
  }
}

static timer_entry *entry_take(adapter *self) {
  timer_entry *entry = self->spare;
  if (entry) {
    DL_DELETE(self->spare, entry);
    return entry;
  }
  entry = adapter_alloc(self, sizeof(*entry));
  if (entry) {
    (void)uv_timer_init(self->uv, &entry->uv); /* can't fail: it fills a struct */
    entry->uv.data = self;
    entry->is_due = false;
    self->handles++;
  }
  return entry;
}

int adapter_timer_start(cafe_loop *loop, cafe_timer *timer, int64_t due_us, cafe_err *err) {
  adapter *self = (adapter *)loop;
  timer_entry *entry = timer->loop_data[0];
  if (entry) {
    entry_retire(self, entry);
  } else {
    entry = entry_take(self);
    if (!entry) {
      return adapter_no_memory(err);
    }
    entry->timer = timer;
    timer->loop_data[0] = entry;
    self->active++;
  }

  if (due_us <= adapter_now_us(loop)) {
    entry->is_due = true;
    DL_APPEND(self->due, entry);
    (void)uv_idle_start(&self->idle, on_idle);
  } else {
    /* uv_now is uv_hrtime in whole milliseconds, rounded down: with the due time rounded up it never fires early. */
    uint64_t due_ms = (uint64_t)(due_us - 1) / 1000 + 1;
    uint64_t now_ms = uv_now(self->uv);
    (void)uv_timer_start(&entry->uv, on_timer, due_ms > now_ms ? due_ms - now_ms : 0, 0);
  }
  return CAFE_OK;
}

void adapter_timer_stop(cafe_loop *loop, cafe_timer *timer) {
  adapter *self = (adapter *)loop;
  timer_entry *entry = timer->loop_data[0];
  if (!entry) {
    return;
  }
  entry_retire(self, entry);
  entry->timer = NULL;
  DL_PREPEND(self->spare, entry);
  timer->loop_data[0] = NULL;
  self->active--;
}

static void close_timer(uv_handle_t *handle) {
  adapter *self = handle->data;
  timer_entry *entry = (timer_entry *)handle;
  adapter_free(self, entry);
  adapter_handle_closed(self);
}

void adapter_timers_close(adapter *self) {
  while (self->spare) {
    timer_entry *entry = self->spare;
    DL_DELETE(self->spare, entry);
    uv_close((uv_handle_t *)&entry->uv, close_timer);
  }
}
