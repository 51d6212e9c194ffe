/* SPDX-License-Identifier: Apache-2.0 */

/*
 * T12: what it costs to have the services apart. "Orders a second per core used" is orders a second, divided by
 * processor time over wall time, of all processes together: orders per second of processor time. So it doesn't tell who
 * waits for whom, only what an order takes, and it doesn't matter on how many cores that happens. One process is W1
 * beside it, in the same round; it has no dashboard, the five have one.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apart.h"

enum { ROUNDS_MAX = 9 };

typedef struct apart_row {
  bench_case wanted;
  bench_result alone[ROUNDS_MAX];
  apart_result apart[ROUNDS_MAX];
  double ratios[ROUNDS_MAX];
  double load;
  uint32_t median; /* the round that is told: that of the median ratio */
} apart_row;

static double cpu_ns(const apart_result *r) {
  double sum = 0;
  for (int i = 0; i < PARTS; i++) {
    sum += (double)r->parts[i].used.cpu_ns;
  }
  return sum;
}

static double cpu_us(const apart_result *r) { return r->orders ? cpu_ns(r) / 1e3 / (double)r->orders : 0; }
static double cores(const apart_result *r) { return r->wall_ns ? cpu_ns(r) / (double)r->wall_ns : 0; }
static double rate(const apart_result *r) { return r->wall_ns ? (double)r->orders * 1e9 / (double)r->wall_ns : 0; }

static double alone_rate(const bench_result *r) {
  return r->used.wall_ns ? (double)r->orders * 1e9 / (double)r->used.wall_ns : 0;
}
static double alone_cpu_us(const bench_result *r) {
  return r->orders ? (double)r->used.cpu_ns / 1e3 / (double)r->orders : 0;
}
static double alone_cores(const bench_result *r) {
  return r->used.wall_ns ? (double)r->used.cpu_ns / (double)r->used.wall_ns : 0;
}

static double ratio(const apart_result *apart, const bench_result *alone) {
  double per_core = cores(apart) > 0 ? rate(apart) / cores(apart) : 0;
  double alone_per_core = alone_cores(alone) > 0 ? alone_rate(alone) / alone_cores(alone) : 0;
  return alone_per_core > 0 ? per_core / alone_per_core : 0;
}

/* What the ratio would be if the dashboard cost nothing, which the one process doesn't have. */
static double ratio_without_dashboard(const apart_row *row) {
  const apart_result *r = &row->apart[row->median];
  double others = cpu_ns(r) - (double)r->parts[PART_DASHBOARD].used.cpu_ns;
  return others > 0 ? row->ratios[row->median] * cpu_ns(r) / others : 0;
}

static void find_median(apart_row *row, uint32_t rounds) {
  for (uint32_t i = 0; i < rounds; i++) {
    uint32_t below = 0;
    for (uint32_t k = 0; k < rounds; k++) {
      below += k < i ? row->ratios[k] <= row->ratios[i] : row->ratios[k] < row->ratios[i];
    }
    if (below == rounds / 2) {
      row->median = i;
    }
  }
}

/* ---- the table ---- */

static void print_head(apart_how how) {
  printf("W1 with the services apart, %s, SQLite each.\n"
         "cores: processor time / wall time, of all. ratio: (orders/s / cores) apart / the same in one process beside "
         "it.\n"
         "An order is over when none of the five owes it anything; checked at the end in the five files.\n\n",
         how == APART_NODES ? "one process, inproc between them" : "a process each, tcp on loopback between them");
  printf("                    | place -> paid, us |      apart                |      one process          |       "
         "|      |\n");
  printf("orders  in flight   |    p50    p99     | orders/s cores CPU us/ord | orders/s cores CPU us/ord | ratio "
         "| load | checks\n");
}

static void print_part(const apart_result *r, int which, apart_how how) {
  const bench_result *p = &r->parts[which];
  double orders = (double)r->orders;
  printf("    %-9s | ", part_names[which]);
  if (how == APART_NODES) {
    printf("%12s ", "");
  } else {
    printf("CPU us %5.1f ", (double)p->used.cpu_ns / 1e3 / orders);
    printf("(loop %5.1f) syncs %6.3f written KB %5.1f ", (double)p->used.thread_cpu_ns / 1e3 / orders,
           (double)p->used.syncs / orders, (double)p->used.written / 1e3 / orders);
  }
  printf("| units %5.2f commits %6.3f batch %3llu / %3llu | log reads %6.3f of %5.1f events\n",
         (double)p->units / orders, (double)p->commits / orders, (unsigned long long)p->median_batch,
         (unsigned long long)p->max_batch, (double)p->log_reads / orders,
         p->log_reads ? (double)p->log_events / (double)p->log_reads : 0);
}

static void print_row(const apart_row *row, apart_how how) {
  const apart_result *r = &row->apart[row->median];
  const bench_result *w = &row->alone[row->median];
  printf("%6llu  %9u   | %6.0f %6.0f     | %8.0f %5.2f %10.1f | %8.0f %5.2f %10.1f | %5.2f | %4.1f | %llu\n",
         (unsigned long long)r->orders, row->wanted.in_flight, r->parts[PART_APP].paid_us[0],
         r->parts[PART_APP].paid_us[1], rate(r), cores(r), cpu_us(r), alone_rate(w), alone_cores(w), alone_cpu_us(w),
         row->ratios[row->median], row->load, (unsigned long long)r->checks);
  for (int i = 0; i < PARTS; i++) {
    print_part(r, i, how);
  }
  if (how == APART_PROCESSES) {
    printf("    without the dashboard, which the one process doesn't have: ratio %.2f\n", ratio_without_dashboard(row));
  }
  fflush(stdout);
}

/* ---- JSON ---- */

static void print_part_json(const apart_result *r, int which) {
  const bench_result *p = &r->parts[which];
  double orders = (double)r->orders;
  printf("%s\n  {\"service\":\"%s\",\"cpu_us_per_order\":%.3f,\"loop_cpu_us_per_order\":%.3f,"
         "\"commits_per_order\":%.4f,\"syncs_per_order\":%.4f,\"units_per_order\":%.3f,"
         "\"written_bytes_per_order\":%.0f,\"batch\":{\"median\":%llu,\"max\":%llu},\"log_reads_per_order\":%.4f,"
         "\"log_events_per_order\":%.3f,\"peak_rss_kib\":%llu}",
         which ? "," : "", part_names[which], (double)p->used.cpu_ns / 1e3 / orders,
         (double)p->used.thread_cpu_ns / 1e3 / orders, (double)p->commits / orders, (double)p->used.syncs / orders,
         (double)p->units / orders, (double)p->used.written / orders, (unsigned long long)p->median_batch,
         (unsigned long long)p->max_batch, (double)p->log_reads / orders, (double)p->log_events / orders,
         (unsigned long long)p->used.peak_kib);
}

static void print_row_json(const apart_row *row, bool is_first) {
  const apart_result *r = &row->apart[row->median];
  const bench_result *w = &row->alone[row->median];
  printf("%s\n {\"in_flight\":%u,\"orders\":%llu,\"orders_per_s\":%.1f,\"cores\":%.3f,\"cpu_us_per_order\":%.2f,"
         "\"paid_us\":{\"p50\":%.1f,\"p99\":%.1f,\"p999\":%.1f},\"one_process\":{\"orders_per_s\":%.1f,"
         "\"cores\":%.3f,\"cpu_us_per_order\":%.2f},\"ratio\":%.4f,\"ratio_without_dashboard\":%.4f,\"load\":%.2f,"
         "\"checks\":%llu,\"services\":[",
         is_first ? "" : ",", row->wanted.in_flight, (unsigned long long)r->orders, rate(r), cores(r), cpu_us(r),
         r->parts[PART_APP].paid_us[0], r->parts[PART_APP].paid_us[1], r->parts[PART_APP].paid_us[2], alone_rate(w),
         alone_cores(w), alone_cpu_us(w), row->ratios[row->median], ratio_without_dashboard(row), row->load,
         (unsigned long long)r->checks);
  for (int i = 0; i < PARTS; i++) {
    print_part_json(r, i);
  }
  printf("]}");
}

/* ---- the rounds ---- */

static bool run_round(apart_row *row, uint32_t round, apart_how how) {
  bench_orders(&row->alone[round], &row->wanted);
  workload_clean(&row->wanted);
  if (row->alone[round].failure[0]) {
    fprintf(stderr, "cafe-bench: one process, %u in flight: %s\n", row->wanted.in_flight, row->alone[round].failure);
    return false;
  }
  apart_run(&row->apart[round], &row->wanted, how);
  apart_clean(&row->wanted);
  if (row->apart[round].failure[0]) {
    fprintf(stderr, "cafe-bench: apart, %u in flight: %s\n", row->wanted.in_flight, row->apart[round].failure);
    return false;
  }
  row->ratios[round] = ratio(&row->apart[round], &row->alone[round]);
  return true;
}

int apart_main(const apart_options *options) {
  enum { ORDERS_LEAST = 2000, ORDERS_MOST = 10000, ORDERS_EACH = 30 };
  apart_row *row = calloc(1, sizeof(*row));
  double worst = -1;
  int status = row ? 0 : 1;
  if (options->json) {
    printf("{\"scenario\":\"%s\",\"rows\":[", options->how == APART_NODES ? "nodes" : "apart");
  } else {
    print_head(options->how);
  }
  for (uint32_t level = 0; level < options->level_count && status == 0; level++) {
    uint32_t in_flight = options->levels[level];
    uint64_t orders = (uint64_t)in_flight * ORDERS_EACH;
    orders = orders < ORDERS_LEAST ? ORDERS_LEAST : orders > ORDERS_MOST ? ORDERS_MOST : orders;
    row->wanted = (bench_case){BENCH_W1,     BENCH_SQLITE,       in_flight, options->orders ? options->orders : orders,
                               options->dir, .has_ledger = false};
    for (uint32_t i = 0; i < options->rounds && status == 0; i++) {
      status = run_round(row, i, options->how) ? 0 : 1;
    }
    if (status != 0) {
      break;
    }
    find_median(row, options->rounds);
    row->load = bench_load();
    double found = row->ratios[row->median];
    worst = worst < 0 || found < worst ? found : worst;
    if (options->json) {
      print_row_json(row, level == 0);
    } else {
      print_row(row, options->how);
    }
  }
  if (status == 0 && options->json) {
    printf("],\n\"targets\":[{\"id\":\"T12\",\"value\":%.4f,\"must\":0.4,\"want\":0.7}]}\n", worst);
  } else if (status == 0) {
    printf("\nT12  services apart, orders/s per core used: of one process %10.2f x  >= 0.4  >= 0.7  %s\n", worst,
           worst >= 0.7   ? "want"
           : worst >= 0.4 ? "must"
                          : "missed");
  }
  free(row);
  return status;
}
