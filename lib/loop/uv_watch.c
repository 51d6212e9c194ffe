/* SPDX-License-Identifier: Apache-2.0 */
/* Watches and wakes: what comes from descriptors and from other threads. The entry of one that ended stays until its
 * handle is closed, without its owner. */
#include "loop/adapter.h"

typedef struct watch_entry {
  uv_poll_t uv;
  adapter *loop;
  cafe_watch *watch;
  unsigned events;
} watch_entry;

typedef struct wake_entry {
  uv_async_t uv;
  adapter *loop;
  cafe_wake *wake;
} wake_entry;

/* ---- watches ---- */

static int to_uv_events(unsigned events) {
  return ((events & CAFE_READABLE) ? UV_READABLE : 0) | ((events & CAFE_WRITABLE) ? UV_WRITABLE : 0);
}

static void close_watch(uv_handle_t *handle) {
  watch_entry *entry = (watch_entry *)handle;
  adapter *self = entry->loop;
  adapter_free(self, entry);
  adapter_handle_closed(self);
}

static void on_ready(uv_poll_t *poll, int status, int uv_events) {
  watch_entry *entry = (watch_entry *)poll;
  adapter *self = entry->loop;
  cafe_watch *watch = entry->watch;
  if (!watch) {
    return;
  }
  unsigned events = ((uv_events & UV_READABLE) ? CAFE_READABLE : 0u) | ((uv_events & UV_WRITABLE) ? CAFE_WRITABLE : 0u);
  if (status != 0) {
    /* The caller's next read or write says what is wrong. libuv stops at an error; a level stays until it is gone. */
    events = entry->events;
  }
  bool outer = adapter_dispatch_begin(self);
  watch->ready(watch, events);
  adapter_dispatch_end(self, outer);
  if (status != 0 && entry->watch) {
    (void)uv_poll_start(&entry->uv, to_uv_events(entry->events), on_ready);
  }
}

int adapter_watch_start(cafe_loop *loop, cafe_watch *watch, unsigned events, cafe_err *err) {
  adapter *self = (adapter *)loop;
  watch_entry *entry = watch->loop_data[0];
  bool is_new = !entry;
  if (is_new) {
    entry = adapter_alloc(self, sizeof(*entry));
    if (!entry) {
      return adapter_no_memory(err);
    }
    int status = uv_poll_init(self->uv, &entry->uv, watch->fd);
    if (status != 0) {
      adapter_free(self, entry);
      return adapter_failure(err, CAFE_INVALID, status, "the descriptor can't be watched");
    }
    self->handles++;
    entry->loop = self;
    entry->watch = NULL;
  }
  int status = uv_poll_start(&entry->uv, to_uv_events(events), on_ready);
  if (status != 0) {
    if (is_new) {
      uv_close((uv_handle_t *)&entry->uv, close_watch);
    }
    return adapter_failure(err, CAFE_INVALID, status, "the descriptor can't be watched");
  }
  entry->events = events;
  if (is_new) {
    entry->watch = watch;
    watch->loop_data[0] = entry;
    self->active++;
  }
  self->needs_turn = true;
  return CAFE_OK;
}

void adapter_watch_stop(cafe_loop *loop, cafe_watch *watch) {
  adapter *self = (adapter *)loop;
  watch_entry *entry = watch->loop_data[0];
  if (!entry) {
    return;
  }
  entry->watch = NULL;
  watch->loop_data[0] = NULL;
  self->active--;
  (void)uv_poll_stop(&entry->uv);
  uv_close((uv_handle_t *)&entry->uv, close_watch);
}

/* ---- wakes ---- */

static void close_wake(uv_handle_t *handle) {
  wake_entry *entry = (wake_entry *)handle;
  adapter *self = entry->loop;
  adapter_free(self, entry);
  adapter_handle_closed(self);
}

static void on_woken(uv_async_t *async) {
  wake_entry *entry = (wake_entry *)async;
  cafe_wake *wake = entry->wake;
  if (!wake) {
    return;
  }
  adapter *self = entry->loop;
  bool outer = adapter_dispatch_begin(self);
  wake->woken(wake);
  adapter_dispatch_end(self, outer);
}

int adapter_wake_open(cafe_loop *loop, cafe_wake *wake, cafe_err *err) {
  adapter *self = (adapter *)loop;
  wake_entry *entry = adapter_alloc(self, sizeof(*entry));
  if (!entry) {
    return adapter_no_memory(err);
  }
  int status = uv_async_init(self->uv, &entry->uv, on_woken);
  if (status != 0) {
    adapter_free(self, entry);
    return adapter_failure(err, CAFE_UNAVAILABLE, status, "no wake can be made");
  }
  self->handles++;
  self->active++;
  entry->loop = self;
  entry->wake = wake;
  wake->loop_data[0] = entry;
  self->needs_turn = true;
  return CAFE_OK;
}

void adapter_wake_close(cafe_loop *loop, cafe_wake *wake) {
  adapter *self = (adapter *)loop;
  wake_entry *entry = wake->loop_data[0];
  if (!entry) {
    return;
  }
  entry->wake = NULL;
  wake->loop_data[0] = NULL;
  self->active--;
  uv_close((uv_handle_t *)&entry->uv, close_wake);
}

void adapter_wake_signal(cafe_loop *loop, cafe_wake *wake) {
  wake_entry *entry = wake->loop_data[0];
  (void)loop;
  (void)uv_async_send(&entry->uv);
}
