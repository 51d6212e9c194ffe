/* SPDX-License-Identifier: Apache-2.0 */

/*
 * T14: how fast a subscriber gets a log over tcp, and what that takes. A rate is the log's events over the time from
 * the subscription until the last of the subscribers has come to the head, so it is what each of them gets; CPU is per
 * event that was delivered. The yardsticks are read right beside it: they are one process each, with no second one to
 * share the processors with, and bring nothing anywhere (SQL, read_log) or look at nothing (socket).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "subscriber.h"
#include "workload.h"

enum { ROUNDS_MAX = 9, EVENTS_LEAST = 300000, EVENTS_PER_ORDER = 20 };

static double per_s(uint64_t events, int64_t ns) { return ns > 0 ? (double)events * 1e9 / (double)ns : 0; }
static double each(double amount, uint64_t events) { return events ? amount / (double)events : 0; }

static void print_head(void) {
  printf("All events of a log, from the first to the head, to subscribers in processes of their own, tcp on loopback.\n"
         "CPU us/ev: processor time per event delivered. sql, read_log, socket: the yardsticks, one thread or two.\n\n"
         "store  subscribers | events/s each   in all | CPU us/ev: publisher (loop) subscribers | bytes/ev | batch mean"
         " max | log reads, events in one | load\n");
}

static void print_yardstick(const char *name, const log_reading *r, uint64_t events, bool is_json) {
  if (is_json) {
    printf(",\"%s\":{\"events_per_s\":%.0f,\"cpu_us_per_event\":%.4f}", name, per_s(events, r->used.wall_ns),
           each((double)r->used.cpu_ns / 1e3, events));
  } else {
    printf("  %-8s %10.0f events/s, CPU us/ev %.3f\n", name, per_s(events, r->used.wall_ns),
           each((double)r->used.cpu_ns / 1e3, events));
  }
}

static void print_row(const char *store, uint32_t count, const subscriber_round *r) {
  uint64_t events = r->reader.sum.events;
  uint64_t delivered = events * count;
  printf("%-6s %11u | %13.0f %8.0f | %20.3f (%.3f) %10.3f | %8.1f | %9.0f %4llu | %9llu, %12.1f | %4.1f\n", store,
         count, per_s(events, r->reader.used.wall_ns), per_s(delivered, r->reader.used.wall_ns),
         each((double)r->publisher.used.cpu_ns / 1e3, delivered),
         each((double)r->publisher.used.thread_cpu_ns / 1e3, delivered),
         each((double)r->readers_cpu_ns / 1e3, delivered), each((double)r->reader.wire, events),
         each((double)events, r->reader.batches), (unsigned long long)r->reader.max_batch,
         (unsigned long long)r->publisher.batches, each((double)r->publisher.sum.events, r->publisher.batches),
         bench_load());
  fflush(stdout);
}

static void print_row_json(const char *store, uint32_t count, const subscriber_round *r, bool is_first) {
  uint64_t events = r->reader.sum.events;
  uint64_t delivered = events * count;
  printf("%s\n {\"store\":\"%s\",\"subscribers\":%u,\"events\":%llu,\"events_per_s\":%.0f,"
         "\"publisher_cpu_us_per_event\":%.4f,\"publisher_loop_cpu_us_per_event\":%.4f,"
         "\"subscriber_cpu_us_per_event\":%.4f,\"bytes_per_event\":%.1f,\"batch\":{\"mean\":%.1f,\"max\":%llu},"
         "\"log_reads\":%llu,\"log_events\":%llu,\"load\":%.2f}",
         is_first ? "" : ",", store, count, (unsigned long long)events, per_s(events, r->reader.used.wall_ns),
         each((double)r->publisher.used.cpu_ns / 1e3, delivered),
         each((double)r->publisher.used.thread_cpu_ns / 1e3, delivered),
         each((double)r->readers_cpu_ns / 1e3, delivered), each((double)r->reader.wire, events),
         each((double)events, r->reader.batches), (unsigned long long)r->reader.max_batch,
         (unsigned long long)r->publisher.batches, (unsigned long long)r->publisher.sum.events, bench_load());
}

static int compare_wall(const void *a, const void *b) {
  int64_t left = ((const subscriber_round *)a)->reader.used.wall_ns;
  int64_t right = ((const subscriber_round *)b)->reader.used.wall_ns;
  return (left > right) - (left < right);
}

/* The median of the rounds. */
static bool run_row(subscriber_round *out, const subscriber_log *log, uint32_t count, uint32_t rounds) {
  static subscriber_round all[ROUNDS_MAX];
  for (uint32_t i = 0; i < rounds; i++) {
    if (!subscriber_run(&all[i], log, count)) {
      fprintf(stderr, "cafe-bench: %u subscribers: %s\n", count, all[i].reader.failure);
      return false;
    }
  }
  qsort(all, rounds, sizeof(all[0]), compare_wall);
  *out = all[rounds / 2];
  return true;
}

static bool fill(bench_case *wanted) {
  bench_result filled = {0};
  if (wanted->store == BENCH_SQLITE) {
    bench_orders(&filled, wanted);
  }
  if (filled.failure[0]) {
    fprintf(stderr, "cafe-bench: filling the log: %s\n", filled.failure);
  }
  return !filled.failure[0];
}

/* The rate of one subscriber; below 0: something failed. */
static double run_store(const subscriber_options *options, bench_case *wanted, bool is_first) {
  const char *name = wanted->store == BENCH_SQLITE ? "sqlite" : "memory";
  subscriber_log log = {.publisher = {-1, -1}};
  subscriber_round row = {0};
  double rate = -1;
  bool is_right = fill(wanted) && subscriber_open(&log, wanted);
  if (!is_right) {
    fprintf(stderr, "cafe-bench: the publisher on %s doesn't stand. %s\n", name, log.store.failure);
  }
  for (uint32_t i = 0; i < options->level_count && is_right; i++) {
    is_right = run_row(&row, &log, options->levels[i], options->rounds);
    if (is_right && options->json) {
      print_row_json(name, options->levels[i], &row, is_first && i == 0);
    } else if (is_right) {
      print_row(name, options->levels[i], &row);
    }
    rate = is_right && i == 0 ? per_s(row.reader.sum.events, row.reader.used.wall_ns) : rate;
  }
  subscriber_close(&log);
  uint64_t events = log.store.sum.events;
  log_reading sql = {0};
  log_reading bare = {0};
  if (is_right && wanted->store == BENCH_SQLITE) {
    char path[512];
    workload_path(path, sizeof(path), wanted);
    log_read_sql(&sql, path);
    is_right = !sql.failure[0] && sql.sum.digest == log.store.sum.digest;
  }
  if (is_right) {
    log_read_socket(&bare, row.reader.wire, row.reader.wire / (row.reader.batches ? row.reader.batches : 1) + 1);
    is_right = !bare.failure[0];
  }
  if (!is_right) {
    fprintf(stderr, "cafe-bench: the yardsticks of %s: %s %s\n", name, sql.failure, bare.failure);
    return -1;
  }
  if (options->json) {
    printf(",\n {\"store\":\"%s\",\"yardsticks\":true", name);
  }
  if (wanted->store == BENCH_SQLITE) {
    print_yardstick("sql", &sql, events, options->json);
  }
  print_yardstick("read_log", &log.store, events, options->json);
  print_yardstick("socket", &bare, events, options->json);
  printf("%s", options->json ? "}" : "");
  workload_clean(wanted);
  return rate;
}

int subscriber_main(const subscriber_options *options) {
  static const bench_store stores[] = {BENCH_MEMORY, BENCH_SQLITE};
  enum { IN_FLIGHT = 256 };
  double worst = -1;
  bool is_first = true;
  if (options->json) {
    printf("{\"scenario\":\"subscriber\",\"rows\":[");
  } else {
    print_head();
  }
  for (size_t i = 0; i < sizeof(stores) / sizeof(stores[0]); i++) {
    if (!options->stores[stores[i]]) {
      continue;
    }
    uint64_t orders = options->orders ? options->orders : EVENTS_LEAST / EVENTS_PER_ORDER;
    bench_case wanted = {BENCH_W1, stores[i], IN_FLIGHT, orders, options->dir, .has_ledger = false};
    double rate = run_store(options, &wanted, is_first);
    if (rate < 0) {
      return 1;
    }
    worst = worst < 0 || rate < worst ? rate : worst;
    is_first = false;
  }
  if (options->json) {
    printf("],\n\"targets\":[{\"id\":\"T14\",\"value\":%.0f,\"must\":300000,\"want\":1000000}]}\n", worst);
  } else {
    printf("\nT14  one subscriber over tcp %10.0f events/s  >= 300000  >= 1000000  %s\n", worst,
           worst >= 1e6   ? "want"
           : worst >= 3e5 ? "must"
                          : "missed");
  }
  return 0;
}
