/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What was measured, for people and for programs, and which of the targets it reaches. A target is judged by the worst
 * of the rows that it names, so that a lucky row never speaks for the others.
 */
#include <stdio.h>
#include <string.h>

#include <sqlite3.h>

#include "bench.h"

static const char *const scenario_names[] = {[BENCH_W1] = "W1", [BENCH_W2] = "W2"};
static const char *const store_names[] = {[BENCH_MEMORY] = "memory", [BENCH_SQLITE] = "sqlite"};

/* ---- one row's figures ---- */

static double per_order(const bench_result *r, double amount) { return r->orders ? amount / (double)r->orders : 0; }
static double rate(const bench_result *r) {
  return r->used.wall_ns ? (double)r->orders * 1e9 / (double)r->used.wall_ns : 0;
}
static double cpu_us(const bench_result *r) { return per_order(r, (double)r->used.cpu_ns / 1e3); }
static double loop_us(const bench_result *r) { return per_order(r, (double)r->used.thread_cpu_ns / 1e3); }
static double commits(const bench_result *r) { return per_order(r, (double)r->commits); }
static double syncs(const bench_result *r) { return per_order(r, (double)r->used.syncs); }
static double written_kb(const bench_result *r) { return per_order(r, (double)r->used.written / 1e3); }
static double stored_kb(const bench_result *r) { return per_order(r, (double)r->used.stored / 1e3); }
static double rss_mb(const bench_result *r) { return (double)r->used.peak_kib / 1024; }

/* ---- the table ---- */

void report_head(const bench_machine *machine) {
  printf("%ld cores, load %.2f, fdatasync of a 4 KiB append %.0f us (median), SQLite %s\n\n", machine->cores,
         machine->load, machine->sync_us, sqlite3_libversion());
  printf("                        |           place -> paid, us |   CPU us/order | per order               | batch     "
         "|      |      |  yardstick      |       |\n");
  printf("what   store  in flight |  orders/s    p50    p99  p99.9 |   all   loop | commits  syncs  KB wr  KB dk | med "
         "  max "
         "| RSS  | load | orders/s CPU us | ratio | checks\n");
  fflush(stdout);
}

void report_row(const bench_row *row) {
  const bench_result *r = &row->result;
  printf(
      "%-6s %-6s %9u | %9.0f %6.0f %6.0f %6.0f | %5.1f %6.1f | %7.3f %6.3f %6.1f %6.1f | %3llu %5llu | %4.0f | %4.1f |",
      scenario_names[row->wanted.scenario], store_names[row->wanted.store], row->wanted.in_flight, rate(r),
      r->paid_us[0], r->paid_us[1], r->paid_us[2], cpu_us(r), loop_us(r), commits(r), syncs(r), written_kb(r),
      stored_kb(r), (unsigned long long)r->median_batch, (unsigned long long)r->max_batch, rss_mb(r), row->load);
  if (row->yardstick.orders) {
    printf(" %8.0f %6.1f | %5.2f |", rate(&row->yardstick), cpu_us(&row->yardstick), row->ratio);
  } else {
    printf(" %8s %6s | %5s |", "-", "-", "-");
  }
  printf(" %llu\n", (unsigned long long)r->checks);
  fflush(stdout);
}

/* ---- targets ---- */

/* No figure is below 0. */
static const double not_measured = -1;

typedef struct target {
  const char *id;
  const char *what;
  const char *unit;
  bool is_floor; /* the value must be at least this; else at most */
  double must;
  double want;
  double value; /* not_measured: no row tells */
} target;

typedef double (*figure)(const bench_row *row);

static double ratio_of(const bench_row *row) { return row->yardstick.orders ? row->ratio : not_measured; }
static double rate_of(const bench_row *row) { return rate(&row->result); }
static double paid_of(const bench_row *row) { return row->result.paid_us[0]; }
static double cpu_of(const bench_row *row) { return cpu_us(&row->result); }
static double syncs_of(const bench_row *row) { return syncs(&row->result); }
static double bytes_of(const bench_row *row) {
  return row->result.used.stored ? stored_kb(&row->result) : written_kb(&row->result);
}

/* The worst of W1's rows on a store with low to high in flight. */
static double worst(const bench_row *rows, uint32_t count, bench_store store, uint32_t low, uint32_t high,
                    figure value_of, bool is_floor) {
  double found = not_measured;
  for (uint32_t i = 0; i < count; i++) {
    const bench_case *wanted = &rows[i].wanted;
    if (wanted->scenario != BENCH_W1 || wanted->store != store || wanted->in_flight < low || wanted->in_flight > high) {
      continue;
    }
    double value = value_of(&rows[i]);
    if (value >= 0 && (found < 0 || (is_floor ? value < found : value > found))) {
      found = value;
    }
  }
  return found;
}

enum { TARGETS = 9 };

static void list_targets(target out[TARGETS], const bench_machine *machine, const bench_row *rows, uint32_t count) {
  double paid_us = worst(rows, count, BENCH_SQLITE, 1, 1, paid_of, false);
  const target all[TARGETS] = {
      {"T1", "SQLite, 64 to 1,024 in flight: of the yardstick", "x", true, 0.6, 0.9,
       worst(rows, count, BENCH_SQLITE, 64, 1024, ratio_of, true)},
      {"T1", "SQLite, 64 to 1,024 in flight", "orders/s", true, 5000, 10000,
       worst(rows, count, BENCH_SQLITE, 64, 1024, rate_of, true)},
      {"T3", "memory, 64 to 1,024 in flight", "orders/s", true, 50000, 150000,
       worst(rows, count, BENCH_MEMORY, 64, 1024, rate_of, true)},
      {"T4", "SQLite, one in flight: place -> paid, in fdatasyncs", "x", false, 4, 2.5,
       machine->sync_us > 0 && paid_us >= 0 ? paid_us / machine->sync_us : not_measured},
      {"T5", "SQLite, 64 to 1,024 in flight: CPU per order", "us", false, 150, 80,
       worst(rows, count, BENCH_SQLITE, 64, 1024, cpu_of, false)},
      {"T6", "SQLite, 64 in flight: syncs per order", "", false, 0.4, 0.25,
       worst(rows, count, BENCH_SQLITE, 64, 64, syncs_of, false)},
      {"T6", "SQLite, 1,024 in flight: syncs per order", "", false, 0.1, 0.05,
       worst(rows, count, BENCH_SQLITE, 1024, 1024, syncs_of, false)},
      {"T7", "SQLite, 64 to 1,024 in flight: bytes per order", "KB", false, 12, 6,
       worst(rows, count, BENCH_SQLITE, 64, 1024, bytes_of, false)},
      {"T7", "SQLite, 1,024 in flight: bytes per order", "KB", false, 12, 6,
       worst(rows, count, BENCH_SQLITE, 1024, 1024, bytes_of, false)},
  };
  memcpy(out, all, sizeof(all));
}

static const char *judge(const target *of) {
  if (of->is_floor ? of->value >= of->want : of->value <= of->want) {
    return "want";
  }
  return (of->is_floor ? of->value >= of->must : of->value <= of->must) ? "must" : "missed";
}

void report_targets(const bench_machine *machine, const bench_row *rows, uint32_t count) {
  target all[TARGETS];
  list_targets(all, machine, rows, count);
  printf("\nW1: the worst of the rows named       %42s %10s %10s\n", "measured", "must", "want");
  for (int i = 0; i < TARGETS; i++) {
    if (all[i].value >= 0) {
      printf("%s  %-52s %10.2f %-8s %s %-8g %s %-8g %s\n", all[i].id, all[i].what, all[i].value, all[i].unit,
             all[i].is_floor ? ">=" : "<=", all[i].must, all[i].is_floor ? ">=" : "<=", all[i].want, judge(&all[i]));
    }
  }
}

/* ---- JSON ---- */

static void print_result(const char *name, const bench_result *r) {
  printf("\"%s\":{\"orders\":%llu,\"orders_per_s\":%.1f,\"cpu_us_per_order\":%.3f,\"loop_cpu_us_per_order\":%.3f,"
         "\"commits_per_order\":%.4f,\"syncs_per_order\":%.4f,\"written_bytes_per_order\":%.0f,"
         "\"stored_bytes_per_order\":%.0f,\"peak_rss_kib\":%llu}",
         name, (unsigned long long)r->orders, rate(r), cpu_us(r), loop_us(r), commits(r), syncs(r), written_kb(r) * 1e3,
         stored_kb(r) * 1e3, (unsigned long long)r->used.peak_kib);
}

static void print_row(const bench_row *row) {
  const bench_result *r = &row->result;
  printf("{\"scenario\":\"%s\",\"store\":\"%s\",\"in_flight\":%u,\"load\":%.2f,", scenario_names[row->wanted.scenario],
         store_names[row->wanted.store], row->wanted.in_flight, row->load);
  print_result("library", r);
  printf(",\"paid_us\":{\"p50\":%.1f,\"p99\":%.1f,\"p999\":%.1f},\"units_per_order\":%.3f,\"events_per_order\":%.3f,"
         "\"batch\":{\"median\":%llu,\"max\":%llu},\"checks\":%llu",
         r->paid_us[0], r->paid_us[1], r->paid_us[2], per_order(r, (double)r->units), per_order(r, (double)r->events),
         (unsigned long long)r->median_batch, (unsigned long long)r->max_batch, (unsigned long long)r->checks);
  if (row->yardstick.orders) {
    printf(",");
    print_result("yardstick", &row->yardstick);
    printf(",\"rows_per_order\":%.2f,\"ratio\":%.4f", per_order(&row->yardstick, (double)row->yardstick.units),
           row->ratio);
  }
  printf("}");
}

void report_json(const bench_machine *machine, const bench_row *rows, uint32_t count) {
  target all[TARGETS];
  list_targets(all, machine, rows, count);
  printf("{\"machine\":{\"cores\":%ld,\"load\":%.2f,\"fdatasync_us\":%.1f,\"sqlite\":\"%s\"},\n\"rows\":[",
         machine->cores, machine->load, machine->sync_us, sqlite3_libversion());
  for (uint32_t i = 0; i < count; i++) {
    printf("%s\n", i ? "," : "");
    print_row(&rows[i]);
  }
  printf("],\n\"targets\":[");
  const char *between = "";
  for (int i = 0; i < TARGETS; i++) {
    if (all[i].value >= 0) {
      printf("%s\n{\"id\":\"%s\",\"what\":\"%s\",\"value\":%.4f,\"must\":%g,\"want\":%g,\"reached\":\"%s\"}", between,
             all[i].id, all[i].what, all[i].value, all[i].must, all[i].want, judge(&all[i]));
      between = ",";
    }
  }
  printf("]}\n");
}

void report_restart(const bench_case *wanted, const parked_result *found, bool as_json) {
  bool is_killed = wanted->scenario == BENCH_KILLED;
  if (as_json) {
    printf("{\"scenario\":\"%s\",\"orders\":%llu,\"start_ms\":%.1f,\"first_read_ms\":%.1f,\"first_order_ms\":%.1f,",
           is_killed ? "killed" : "parked", (unsigned long long)found->orders, found->start_ms, found->first_read_ms,
           found->first_order_ms);
    if (is_killed) {
      printf("\"resumed_ms\":%.1f}\n", found->resumed_ms);
    } else {
      printf("\"idle_store_calls\":%llu,\"wakeups_per_s\":%.2f,\"idle_kib\":%llu}\n",
             (unsigned long long)found->store_calls, found->wakeups_per_s, (unsigned long long)found->idle_kib);
    }
    return;
  }
  printf("restart with %llu orders in flight: start %.1f ms, first order read %.1f ms, first order paid %.1f ms\n",
         (unsigned long long)found->orders, found->start_ms, found->first_read_ms, found->first_order_ms);
  if (is_killed) {
    printf("all ended, each paid for and told of once: after %.1f s\n", found->resumed_ms / 1e3);
  } else {
    printf("at rest: %llu calls of the store, %.2f wake-ups/s, %llu KiB resident\n",
           (unsigned long long)found->store_calls, found->wakeups_per_s, (unsigned long long)found->idle_kib);
  }
}
