/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What was really asked of the kernel. Nothing here is estimated: fsync, fdatasync and recv stand in the place of the C
 * library's, for SQLite too, and count what they do; other bytes and CPU are the kernel's own books.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"
#include "cafe/sys/store.h"

static atomic_uint_fast64_t syncs;
static atomic_uint_fast64_t received;

/* The shared libraries must see these three: the rest of the program is hidden from them. */
__attribute__((visibility("default"))) int fsync(int fd) {
  atomic_fetch_add(&syncs, 1);
  return (int)syscall(SYS_fsync, fd);
}

__attribute__((visibility("default"))) int fdatasync(int fd) {
  atomic_fetch_add(&syncs, 1);
  return (int)syscall(SYS_fdatasync, fd);
}

__attribute__((visibility("default"))) ssize_t recv(int fd, void *out, size_t size, int flags) {
  ssize_t got = syscall(SYS_recvfrom, fd, out, size, flags, NULL, NULL);
  if (got > 0) {
    atomic_fetch_add_explicit(&received, (uint64_t)got, memory_order_relaxed);
  }
  return got;
}

static int64_t clock_ns(clockid_t which) {
  struct timespec now;
  clock_gettime(which, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void read_io(bench_usage *out) {
  FILE *io = fopen("/proc/self/io", "r");
  char name[32];
  unsigned long long value;
  while (io && fscanf(io, "%31[^:]: %llu\n", name, &value) == 2) {
    if (strcmp(name, "wchar") == 0) {
      out->written = value;
    } else if (strcmp(name, "write_bytes") == 0) {
      out->stored = value;
    }
  }
  if (io) {
    fclose(io);
  }
}

void counted_now(bench_usage *out) {
  struct rusage usage;
  memset(out, 0, sizeof(*out));
  getrusage(RUSAGE_SELF, &usage);
  out->wall_ns = clock_ns(CLOCK_MONOTONIC);
  out->cpu_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
  out->thread_cpu_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID);
  out->syncs = atomic_load(&syncs);
  out->received = atomic_load(&received);
  out->peak_kib = (uint64_t)usage.ru_maxrss;
  read_io(out);
}

void counted_since(bench_usage *out, const bench_usage *start) {
  bench_usage now;
  counted_now(&now);
  out->wall_ns = now.wall_ns - start->wall_ns;
  out->cpu_ns = now.cpu_ns - start->cpu_ns;
  out->thread_cpu_ns = now.thread_cpu_ns - start->thread_cpu_ns;
  out->syncs = now.syncs - start->syncs;
  out->written = now.written - start->written;
  out->received = now.received - start->received;
  out->stored = now.stored - start->stored;
  out->peak_kib = now.peak_kib;
}

/* ---- batches ---- */

enum { BATCH_MAX = 4096 }; /* larger ones are counted as this */

struct counted_store {
  cafe_store base;
  cafe_store *inner;
  cafe_store_ops ops;
  atomic_uint_fast64_t calls; /* of all methods, on either lane */
  uint64_t commits;
  uint64_t units;
  uint64_t events;
  uint64_t max_batch;
  uint64_t sizes[BATCH_MAX + 1];
  atomic_uint_fast64_t log_reads;
  atomic_uint_fast64_t log_events; /* that were looked at in them */
  void (*see)(const cafe_unit *unit, void *user);
  void *see_user;
};

static cafe_store *inner_of(cafe_store *self) {
  counted_store *counted = (counted_store *)self;
  atomic_fetch_add(&counted->calls, 1);
  return counted->inner;
}

static int counted_open(cafe_store *self, cafe_store_info *out, const cafe_store_setup *setup, cafe_err *err) {
  cafe_store *inner = inner_of(self);
  return inner->ops->open(inner, out, setup, err);
}

/* On the write lane; read on the loop thread only when nothing is being committed. */
static int counted_commit(cafe_store *self, cafe_batch *batch, cafe_err *err) {
  counted_store *counted = (counted_store *)self;
  counted->commits++;
  counted->units += batch->unit_count;
  counted->sizes[batch->unit_count < BATCH_MAX ? batch->unit_count : BATCH_MAX]++;
  if (batch->unit_count > counted->max_batch) {
    counted->max_batch = batch->unit_count;
  }
  for (uint32_t i = 0; i < batch->unit_count; i++) {
    counted->events += batch->units[i]->event_count;
  }
  int code = counted->inner->ops->commit(counted->inner, batch, err);
  for (uint32_t i = 0; i < batch->unit_count && code == CAFE_OK && counted->see; i++) {
    if (batch->units[i]->result == CAFE_UNIT_DONE) {
      counted->see(batch->units[i], counted->see_user);
    }
  }
  return code;
}

static int counted_load(cafe_store *self, uint64_t key, cafe_event_sink on_event, cafe_row_sink on_row, void *user,
                        cafe_err *err) {
  cafe_store *inner = inner_of(self);
  return inner->ops->load(inner, key, on_event, on_row, user, err);
}

static int counted_read_log(cafe_store *self, cafe_log_query *query, cafe_event_sink on_event, void *user,
                            cafe_err *err) {
  counted_store *counted = (counted_store *)self;
  cafe_store *inner = inner_of(self);
  int code = inner->ops->read_log(inner, query, on_event, user, err);
  atomic_fetch_add(&counted->log_reads, 1);
  atomic_fetch_add(&counted->log_events, query->scanned - query->after);
  return code;
}

static int counted_read_rows(cafe_store *self, const cafe_row_query *query, cafe_row_sink on_row, void *user,
                             cafe_err *err) {
  cafe_store *inner = inner_of(self);
  return inner->ops->read_rows(inner, query, on_row, user, err);
}

static int counted_read_key(cafe_store *self, cafe_key_record *out, cafe_slice scope, cafe_slice key,
                            cafe_slice fingerprint, cafe_arena *arena, cafe_err *err) {
  cafe_store *inner = inner_of(self);
  return inner->ops->read_key(inner, out, scope, key, fingerprint, arena, err);
}

static int counted_read_checkpoints(cafe_store *self, const char *subscription, cafe_checkpoint_sink on_checkpoint,
                                    void *user, cafe_err *err) {
  cafe_store *inner = inner_of(self);
  return inner->ops->read_checkpoints(inner, subscription, on_checkpoint, user, err);
}

static void counted_destroy(cafe_store *self) { counted_store_free((counted_store *)self); }

counted_store *counted_store_create(cafe_store *inner) {
  counted_store *counted = calloc(1, sizeof(*counted));
  if (!counted) {
    return NULL;
  }
  counted->inner = inner;
  counted->ops = (cafe_store_ops){
      .size = sizeof(counted->ops),
      .name = inner->ops->name,
      .is_inline = inner->ops->is_inline,
      .open = counted_open,
      .commit = counted_commit,
      .load = counted_load,
      .read_log = counted_read_log,
      .read_rows = counted_read_rows,
      .read_key = counted_read_key,
      .read_checkpoints = counted_read_checkpoints,
      .destroy = counted_destroy,
  };
  counted->base.ops = &counted->ops;
  return counted;
}

cafe_store *counted_store_base(counted_store *counted) { return &counted->base; }

void counted_store_watch(counted_store *counted, void (*see)(const cafe_unit *unit, void *user), void *user) {
  counted->see = see;
  counted->see_user = user;
}

void counted_store_reset(counted_store *counted) {
  atomic_store(&counted->log_reads, 0);
  atomic_store(&counted->log_events, 0);
  counted->commits = counted->units = counted->events = counted->max_batch = 0;
  memset(counted->sizes, 0, sizeof(counted->sizes));
}

void counted_store_get(const counted_store *counted, bench_result *out) {
  out->calls = atomic_load(&counted->calls);
  out->commits = counted->commits;
  out->units = counted->units;
  out->events = counted->events;
  out->max_batch = counted->max_batch;
  out->log_reads = atomic_load(&counted->log_reads);
  out->log_events = atomic_load(&counted->log_events);
  uint64_t seen = 0;
  for (uint64_t size = 0; size <= BATCH_MAX; size++) {
    seen += counted->sizes[size];
    if (seen * 2 >= counted->commits) {
      out->median_batch = size;
      break;
    }
  }
}

void counted_store_free(counted_store *counted) { free(counted); }
