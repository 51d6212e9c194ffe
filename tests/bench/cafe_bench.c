/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Measures orders a second, and what an order costs, beside the yardstick: what the same rows cost by bare SQL.
 *
 * Each measurement is a process of its own, so that its peak memory, its CPU and the kernel's books are nobody else's.
 * A row on SQLite takes three, one after the other: the orders, measured; the same again, unmeasured, with each row
 * that is written recorded; and the replay of that recording. A round is all of these; rounds are repeated so that a
 * ratio compares what ran side by side, and the median of the rounds is told.
 *
 * Ends with 1 where a check failed, with 2 where it was called wrongly. Speed never fails it.
 */
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "apart.h"
#include "subscriber.h"

enum { LEVELS_MAX = 16, ROUNDS_MAX = 9, ROWS_MAX = 4 * LEVELS_MAX, RECORDED_MAX = 16384 };

typedef struct options {
  bool scenarios[2];
  bench_scenario restart; /* BENCH_PARKED or BENCH_KILLED: this instead; 0: none */
  bool is_apart;          /* … or the services apart, */
  apart_how how;          /*   in this way; */
  bool is_subscriber;     /* … or who reads the log */
  bool stores[2];
  uint32_t levels[LEVELS_MAX];
  uint32_t level_count;
  bool has_levels; /* they were asked for */
  uint64_t orders; /* 0: by level and store */
  uint32_t rounds;
  bool json;
  bool bare; /* no yardstick */
  bool is_quick;
  const char *dir;
} options;

/* ---- a process of its own ---- */

typedef void (*measurement)(bench_result *out, const bench_case *wanted, int recording);

static void measure_orders(bench_result *out, const bench_case *wanted, int recording) {
  (void)recording;
  workload_run(out, wanted);
}

static void record_orders(bench_result *out, const bench_case *wanted, int recording) {
  rows_record(recording);
  workload_run(out, wanted);
  if (!rows_finish() && !out->failure[0]) {
    snprintf(out->failure, sizeof(out->failure), "the rows couldn't be recorded");
  }
}

static void replay_orders(bench_result *out, const bench_case *wanted, int recording) {
  char path[512];
  workload_path(path, sizeof(path), wanted);
  yardstick_run(out, wanted, recording, path);
}

typedef struct measuring {
  measurement what;
  const bench_case *wanted;
  int recording;
} measuring;

static void run_measurement(int control, void *user) {
  const measuring *asked = user;
  bench_result result;
  asked->what(&result, asked->wanted, asked->recording);
  (void)isolated_send(control, &result, sizeof(result));
}

static void run_isolated(bench_result *out, measurement what, const bench_case *wanted, int recording) {
  measuring asked = {what, wanted, recording};
  isolated child;
  memset(out, 0, sizeof(*out));
  bool is_told =
      isolated_begin(&child, run_measurement, &asked) && isolated_receive(child.control, out, sizeof(*out), -1);
  int status = isolated_end(&child);
  if (!is_told) {
    snprintf(out->failure, sizeof(out->failure), "the measuring process died (status %d)", status);
  }
}

void bench_orders(bench_result *out, const bench_case *wanted) {
  workload_clean(wanted);
  run_isolated(out, measure_orders, wanted, -1);
}

/* ---- a row ---- */

static double rate(const bench_result *result) {
  return result->used.wall_ns ? (double)result->orders * 1e9 / (double)result->used.wall_ns : 0;
}

static void run_yardstick(bench_result *out, bench_case wanted) {
  int recording = memfd_create("cafe-bench-rows", MFD_CLOEXEC);
  bench_result recorded;
  memset(out, 0, sizeof(*out));
  if (recording < 0) {
    snprintf(out->failure, sizeof(out->failure), "yardstick: no memory to record");
    return;
  }
  wanted.orders = wanted.orders < RECORDED_MAX ? wanted.orders : RECORDED_MAX;
  workload_clean(&wanted);
  run_isolated(&recorded, record_orders, &wanted, recording);
  if (recorded.failure[0]) {
    snprintf(out->failure, sizeof(out->failure), "%s", recorded.failure);
  } else {
    run_isolated(out, replay_orders, &wanted, recording);
  }
  close(recording);
}

static int compare_rate(const void *a, const void *b) {
  double left = rate(a);
  double right = rate(b);
  return (left > right) - (left < right);
}

static int compare_double(const void *a, const void *b) {
  double left = *(const double *)a;
  double right = *(const double *)b;
  return (left > right) - (left < right);
}

/* False: a check failed. */
static bool run_row(bench_row *row, const options *opts) {
  bench_result results[ROUNDS_MAX];
  bench_result yardsticks[ROUNDS_MAX];
  double ratios[ROUNDS_MAX];
  bool has_yardstick = row->wanted.store == BENCH_SQLITE && !opts->bare;
  memset(yardsticks, 0, sizeof(yardsticks));
  for (uint32_t i = 0; i < opts->rounds; i++) {
    bench_orders(&results[i], &row->wanted);
    if (has_yardstick && !results[i].failure[0]) {
      run_yardstick(&yardsticks[i], row->wanted);
    }
    ratios[i] = rate(&yardsticks[i]) > 0 ? rate(&results[i]) / rate(&yardsticks[i]) : 0;
    if (results[i].failure[0] || yardsticks[i].failure[0]) {
      row->result = results[i];
      row->yardstick = yardsticks[i];
      return false;
    }
  }
  workload_clean(&row->wanted);
  qsort(results, opts->rounds, sizeof(results[0]), compare_rate);
  qsort(yardsticks, opts->rounds, sizeof(yardsticks[0]), compare_rate);
  qsort(ratios, opts->rounds, sizeof(ratios[0]), compare_double);
  row->result = results[opts->rounds / 2];
  row->yardstick = yardsticks[opts->rounds / 2];
  row->ratio = ratios[opts->rounds / 2];
  row->load = bench_load();
  return true;
}

/* Enough for some seconds, and for several checkpoints of the WAL. */
static uint64_t orders_for(bench_store store, uint32_t in_flight) {
  uint64_t most = store == BENCH_MEMORY ? 100000 : 16384;
  uint64_t orders = (store == BENCH_MEMORY ? 20000 : 1000) * (uint64_t)in_flight;
  return orders < most ? orders : most;
}

/* ---- a restart ---- */

static void tell_filled(const char *failure, void *user) {
  char text[BENCH_FAILURE_MAX] = {0};
  snprintf(text, sizeof(text), "%s", failure);
  (void)isolated_send(*(int *)user, text, sizeof(text));
}

static void run_fill(int control, void *user) { parked_fill(user, tell_filled, &control); }

static void run_again(int control, void *user) {
  static parked_result found;
  parked_restart(&found, user);
  (void)isolated_send(control, &found, sizeof(found));
}

static bool run_restart(parked_result *out, bench_case *wanted) {
  char failure[BENCH_FAILURE_MAX] = "";
  isolated child;
  workload_clean(wanted);
  bool is_told =
      isolated_begin(&child, run_fill, wanted) && isolated_receive(child.control, failure, sizeof(failure), -1);
  isolated_end(&child);
  if (!is_told || failure[0]) {
    snprintf(out->failure, sizeof(out->failure), "%s", is_told ? failure : "the filling process died");
    return false;
  }
  is_told = isolated_begin(&child, run_again, wanted) && isolated_receive(child.control, out, sizeof(*out), -1);
  isolated_end(&child);
  if (!is_told) {
    snprintf(out->failure, sizeof(out->failure), "the measuring process died");
  }
  workload_clean(wanted);
  return !out->failure[0];
}

/* ---- the machine ---- */

static int64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static double median_sync_us(const char *dir) {
  enum { SYNCS = 400, BLOCK = 4096 };
  static double taken[SYNCS];
  static const char block[BLOCK];
  char path[512];
  snprintf(path, sizeof(path), "%s/cafe-bench-disk", dir);
  int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0) {
    return 0;
  }
  for (int i = 0; i < SYNCS; i++) {
    int64_t start = now_ns();
    if (pwrite(fd, block, BLOCK, (off_t)i * BLOCK) != BLOCK || fdatasync(fd) != 0) {
      taken[i] = 0;
    }
    taken[i] = (double)(now_ns() - start) / 1e3;
  }
  close(fd);
  unlink(path);
  qsort(taken, SYNCS, sizeof(taken[0]), compare_double);
  return taken[SYNCS / 2];
}

double bench_load(void) {
  double load = -1;
  return getloadavg(&load, 1) == 1 ? load : -1;
}

static void look_at_machine(bench_machine *out, const char *dir) {
  out->cores = sysconf(_SC_NPROCESSORS_ONLN);
  out->sync_us = median_sync_us(dir);
  out->load = bench_load();
}

/* ---- options ---- */

static int usage(const char *wrong) {
  fprintf(
      stderr,
      "%s%scafe-bench [--scenario w1|w2|all|parked|killed|apart|nodes|subscriber]\n"
      "           [--store memory|sqlite|all] [--in-flight N,N,…] [--orders N] [--rounds N] [--bare] [--json] "
      "[--quick]\n"
      "           [--dir PATH]\n"
      "  --scenario parked, killed: instead of orders a second, a restart with so many orders in flight on SQLite:\n"
      "             all waiting for the store, and then at rest; or each at another step, and then all ended\n"
      "  --scenario apart, nodes: W1 with the five services apart, each on a SQLite file of its own: in a process "
      "each\n"
      "             with tcp between them, or in one process\n"
      "  --scenario subscriber: a log of 300,000 events or more is read over tcp, by so many at once as --in-flight "
      "says\n"
      "  --orders   of each measurement; default: enough for some seconds\n"
      "  --rounds   each row is measured so often, and the median told; default 3\n"
      "  --bare     no yardstick beside SQLite\n"
      "  --quick    some seconds in all: is everything right? Its figures say nothing\n"
      "  --dir      where the stores' files go; default: the working folder\n",
      wrong ? wrong : "", wrong ? "\n" : "");
  return 2;
}

static bool read_choice(bool out[2], const char *text, const char *first, const char *second) {
  out[0] = strcmp(text, first) == 0 || strcmp(text, "all") == 0;
  out[1] = strcmp(text, second) == 0 || strcmp(text, "all") == 0;
  return out[0] || out[1];
}

static bool read_scenario(options *out, const char *text) {
  if (strcmp(text, "parked") == 0 || strcmp(text, "killed") == 0) {
    out->restart = text[0] == 'p' ? BENCH_PARKED : BENCH_KILLED;
    return true;
  }
  if (strcmp(text, "apart") == 0 || strcmp(text, "nodes") == 0) {
    out->is_apart = true;
    out->how = text[0] == 'a' ? APART_PROCESSES : APART_NODES;
    return true;
  }
  out->is_subscriber = strcmp(text, "subscriber") == 0;
  return out->is_subscriber || read_choice(out->scenarios, text, "w1", "w2");
}

static bool read_number(uint64_t *out, const char *text, char **end, uint64_t most) {
  *out = strtoull(text, end, 10);
  return *end != text && *out >= 1 && *out <= most;
}

static bool read_levels(options *out, const char *text) {
  out->has_levels = true;
  for (out->level_count = 0; out->level_count < LEVELS_MAX; text++) {
    uint64_t level;
    char *end;
    if (!read_number(&level, text, &end, 16000)) { /* a node queues 16,384 by default */
      return false;
    }
    out->levels[out->level_count++] = (uint32_t)level;
    text = end;
    if (*text != ',') {
      return *text == '\0';
    }
  }
  return false;
}

static void make_quick(options *out) {
  out->is_quick = true;
  out->rounds = 1;
  out->orders = 200;
  out->has_levels = true;
  out->level_count = 2;
  out->levels[0] = 1;
  out->levels[1] = 64;
}

static int read_options(options *out, int argc, char **argv) {
  static const struct option known[] = {
      {"scenario", required_argument, NULL, 'c'},
      {"store", required_argument, NULL, 's'},
      {"in-flight", required_argument, NULL, 'i'},
      {"orders", required_argument, NULL, 'o'},
      {"rounds", required_argument, NULL, 'r'},
      {"json", no_argument, NULL, 'j'},
      {"quick", no_argument, NULL, 'q'},
      {"dir", required_argument, NULL, 'd'},
      {"bare", no_argument, NULL, 'b'},
      {NULL, 0, NULL, 0},
  };
  *out = (options){.scenarios = {true, true},
                   .stores = {true, true},
                   .levels = {1, 16, 64, 256, 1024},
                   .level_count = 5,
                   .rounds = 3,
                   .dir = "."};
  bool is_right = true;
  uint64_t number = 0;
  char *end = NULL;
  for (int which; is_right && (which = getopt_long(argc, argv, "", known, NULL)) != -1;) {
    switch (which) {
    case 'c':
      is_right = read_scenario(out, optarg);
      break;
    case 's':
      is_right = read_choice(out->stores, optarg, "memory", "sqlite");
      break;
    case 'i':
      is_right = read_levels(out, optarg);
      break;
    case 'o':
      is_right = read_number(&out->orders, optarg, &end, 100000000) && !*end;
      break;
    case 'r':
      is_right = read_number(&number, optarg, &end, ROUNDS_MAX) && !*end;
      out->rounds = (uint32_t)number;
      break;
    case 'j':
      out->json = true;
      break;
    case 'b':
      out->bare = true;
      break;
    case 'q':
      make_quick(out);
      break;
    case 'd':
      out->dir = optarg;
      break;
    default:
      is_right = false;
      break;
    }
  }
  return is_right && optind == argc && strlen(out->dir) < 256 ? 0 : usage("cafe-bench: this isn't understood:");
}

static int restart(const options *opts) {
  enum { IN_FLIGHT = 256, ORDERS = 100000 };
  static parked_result found;
  bench_case wanted = {opts->restart, BENCH_SQLITE,
                       IN_FLIGHT,     opts->orders ? opts->orders : ORDERS,
                       opts->dir,     .has_ledger = opts->restart == BENCH_KILLED};
  if (!run_restart(&found, &wanted)) {
    fprintf(stderr, "cafe-bench: a restart: %s\n", found.failure);
    return 1;
  }
  report_restart(&wanted, &found, opts->json);
  return 0;
}

static int apart(const options *opts) {
  static const uint32_t levels[] = {64, 256, 1024};
  apart_options wanted = {opts->how, levels, 3, opts->orders, opts->rounds, opts->json, opts->dir};
  if (opts->has_levels) {
    wanted.levels = opts->levels;
    wanted.level_count = opts->level_count;
  }
  return apart_main(&wanted);
}

static int subscriber(const options *opts) {
  static const uint32_t levels[] = {1, 4, 16};
  subscriber_options wanted = {
      {opts->stores[0], opts->stores[1]}, opts->orders, opts->rounds, levels, 3, opts->json, opts->dir};
  if (opts->has_levels) {
    wanted.levels = opts->levels;
    wanted.level_count = opts->level_count;
  }
  for (uint32_t i = 0; i < wanted.level_count; i++) {
    if (wanted.levels[i] > SUBSCRIBERS_MAX) {
      return usage("cafe-bench: so many subscribers at once?");
    }
  }
  return subscriber_main(&wanted);
}

int main(int argc, char **argv) {
  static bench_row rows[ROWS_MAX];
  options opts;
  bench_machine machine;
  uint32_t count = 0;
  if (read_options(&opts, argc, argv) != 0) {
    return 2;
  }
  if (opts.restart) {
    return restart(&opts);
  }
  if (opts.is_apart) {
    return apart(&opts);
  }
  if (opts.is_subscriber) {
    return subscriber(&opts);
  }
  look_at_machine(&machine, opts.dir);
  if (!opts.json) {
    report_head(&machine);
  }
  for (int i = 0; i < 4; i++) {
    bench_scenario scenario = (bench_scenario)(i / 2);
    bench_store store = (bench_store)(i % 2);
    for (uint32_t level = 0; level < opts.level_count && opts.scenarios[scenario] && opts.stores[store]; level++) {
      bench_row *row = &rows[count++];
      uint32_t in_flight = opts.levels[level];
      row->wanted =
          (bench_case){scenario, store, in_flight, opts.orders ? opts.orders : orders_for(store, in_flight), opts.dir};
      if (!run_row(row, &opts)) {
        fflush(stdout);
        fprintf(stderr, "cafe-bench: %s, %s, %u in flight: %s\n", scenario == BENCH_W1 ? "W1" : "W2",
                store == BENCH_MEMORY ? "memory" : "sqlite", in_flight,
                row->result.failure[0] ? row->result.failure : row->yardstick.failure);
        return 1;
      }
      if (!opts.json) {
        report_row(row);
      }
    }
  }
  if (opts.json) {
    report_json(&machine, rows, count);
  } else if (!opts.is_quick) {
    report_targets(&machine, rows, count);
  }
  return 0;
}
