/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GET /metrics. Labels come from tables of this program and of the node, never from a request, so whatever a client
 * sends, the number of series stays what it is: a route is the template it matched, everything else is "other".
 *
 * The view's rows by status are asked of the node, which reads all of them for it: so at most every ten seconds, and
 * for a fiftieth of the time. Nobody waits for that but the first one who asks, and he for a second.
 */
#include "http/metrics.h"
#include "http/exchange.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { STATUSES_MAX = 32, VALUES_MAX = 32, FIRST_WAIT_MS = 1000, COUNT_EVERY_S = 10, COUNT_SHARE = 50 };
#define SECOND_NS UINT64_C(1000000000)

static const struct {
  uint64_t most_ns;
  const char *le;
} buckets[] = {{5000000, "0.005"},   {10000000, "0.01"},   {25000000, "0.025"},   {50000000, "0.05"},
               {100000000, "0.1"},   {250000000, "0.25"},  {500000000, "0.5"},    {1000000000, "1"},
               {2500000000, "2.5"},  {5000000000, "5"},    {10000000000, "10"}};
enum { BUCKETS = sizeof buckets / sizeof buckets[0] };

/* The requests of one method to one route. */
typedef struct series {
  struct series *next;
  const char *method;
  const char *route;
  uint32_t status_count;
  struct {
    unsigned status;
    uint64_t count;
  } statuses[STATUSES_MAX];
  uint64_t took[BUCKETS + 1];
  uint64_t took_ns;
} series;

struct http_metrics {
  series *series;
  double start_s;

  bool is_counting;
  bool is_known;
  bool is_closed;
  uint64_t count_at_ns; /* the next one not before */
  uint64_t counting_ns; /* since */
  http_request *waiting;
  cafe_node *node;
  const cafe_view *view;
  uint32_t value_count;
  const char *values[VALUES_MAX]; /* of the view's table: constants */
  uint64_t rows[VALUES_MAX];
};

http_metrics *http_metrics_open(void) {
  http_metrics *self = calloc(1, sizeof *self);
  if (self) {
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    self->start_s = (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
  }
  return self;
}

void http_metrics_close(http_metrics *self) {
  if (!self) {
    return;
  }
  while (self->series) {
    series *next = self->series->next;
    free(self->series);
    self->series = next;
  }
  self->is_closed = true;
  if (!self->is_counting) {
    free(self);
  }
}

/* ---- counting ---- */

static const char *method_of(const char *method) {
  static const char *const known[] = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"};
  for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
    if (strcmp(method, known[i]) == 0) {
      return known[i];
    }
  }
  return "other";
}

/* What comes often is soon found first. NULL: no memory. */
static series *series_of(http_metrics *self, const char *method, const char *route) {
  series **at = &self->series;
  while (*at && ((*at)->route != route || (*at)->method != method)) {
    at = &(*at)->next;
  }
  series *found = *at;
  if (found) {
    *at = found->next;
  } else {
    found = calloc(1, sizeof *found);
    if (!found) {
      return NULL;
    }
    found->method = method;
    found->route = route;
  }
  found->next = self->series;
  self->series = found;
  return found;
}

void http_metrics_count(http_metrics *self, const char *method, const http_route *route, unsigned status,
                        uint64_t begun_ns) {
  static const char other[] = "other";
  uint64_t took_ns = uv_hrtime() - begun_ns;
  series *of = series_of(self, method_of(method), route ? route->path : other);
  if (!of) {
    return;
  }
  uint32_t i = 0;
  while (i < of->status_count && of->statuses[i].status != status) {
    i++;
  }
  if (i < STATUSES_MAX) { /* no route has so many */
    of->status_count += i == of->status_count;
    of->statuses[i].status = status;
    of->statuses[i].count++;
  }
  for (i = 0; i < BUCKETS && took_ns > buckets[i].most_ns; i++) {
  }
  of->took[i]++;
  of->took_ns += took_ns;
}

/* ---- the view's rows ---- */

static void render(http_request *request);

static void begin_count(http_metrics *self, http_request *waiting);

static void on_counts(const cafe_err *err, const cafe_counts *counts, void *user) {
  http_metrics *self = user;
  http_request *request = self->waiting;
  uint64_t now_ns = uv_hrtime();
  uint64_t pause_ns = (now_ns - self->counting_ns) * COUNT_SHARE;
  self->is_counting = false;
  self->waiting = NULL;
  if (self->is_closed) {
    free(self);
    return;
  }
  self->count_at_ns = now_ns + (pause_ns > COUNT_EVERY_S * SECOND_NS ? pause_ns : COUNT_EVERY_S * SECOND_NS);
  if (counts) {
    self->is_known = true;
    self->value_count = counts->count < VALUES_MAX ? counts->count : VALUES_MAX;
    memcpy(self->values, counts->values, self->value_count * sizeof self->values[0]);
    memcpy(self->rows, counts->rows, self->value_count * sizeof self->rows[0]);
  } else if (err->code == CAFE_CANCELED && request) {
    begin_count(self, NULL); /* it takes longer than anybody waits; not where the node is closing */
  }
  if (request) {
    render(request);
  }
}

/* The counts' first reader waits for them. */
static void begin_count(http_metrics *self, http_request *waiting) {
  cafe_op *op;
  if (cafe_node_count(&op, self->node, self->view, "status", on_counts, self, NULL) != CAFE_OK) {
    return; /* a view without status, or at the next one */
  }
  self->is_counting = true;
  self->counting_ns = uv_hrtime();
  self->waiting = waiting;
  if (waiting) {
    http_await(waiting, op, FIRST_WAIT_MS);
  }
}

/* ---- writing ---- */

typedef struct writing {
  buffer *out;
  const char *family; /* the last one */
} writing;

static void write_head(writing *self, const char *name, const char *type, const char *help) {
  if (self->family && strcmp(self->family, name) == 0) {
    return;
  }
  self->family = name;
  buffer_format(self->out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void write_label(buffer *out, const char *name, const char *value) {
  buffer_format(out, "%s=\"", name);
  for (; *value; value++) {
    if (*value == '\\' || *value == '"') {
      buffer_add(out, "\\", 1);
    }
    buffer_add(out, *value == '\n' ? "\\n" : value, *value == '\n' ? 2 : 1);
  }
  buffer_add(out, "\"", 1);
}

static void write_sample(const cafe_sample *sample, void *user) {
  static const char *const types[] = {"untyped", "counter", "gauge", "histogram"};
  writing *self = user;
  buffer *out = self->out;
  write_head(self, sample->name, types[sample->kind], sample->help);
  buffer_format(out, "%s%s", sample->name, sample->suffix);
  for (uint32_t i = 0; i < sample->label_count; i++) {
    buffer_add(out, i ? "," : "{", 1);
    write_label(out, sample->label_names[i], sample->label_values[i]);
  }
  buffer_format(out, "%s %.15g\n", sample->label_count ? "}" : "", sample->value);
}

static void write_number(writing *self, const char *name, const char *type, const char *help, double value) {
  write_head(self, name, type, help);
  buffer_format(self->out, "%s %.15g\n", name, value);
}

static void write_rows(writing *self, const http_metrics *metrics) {
  char name[80];
  if (!metrics->is_known) {
    return;
  }
  (void)snprintf(name, sizeof name, "cafe_%s", metrics->view->name);
  write_head(self, name, "gauge", "How many there are, by status, when they were last counted.");
  self->family = NULL; /* the name is gone soon */
  for (uint32_t i = 0; i < metrics->value_count; i++) {
    if (*metrics->values[i]) {
      buffer_format(self->out, "%s{", name);
      write_label(self->out, "status", metrics->values[i]);
      buffer_format(self->out, "} %" PRIu64 "\n", metrics->rows[i]);
    }
  }
}

static void write_took(buffer *out, const series *of) {
  static const char name[] = "cafe_http_request_duration_seconds";
  uint64_t count = 0;
  for (uint32_t i = 0; i <= BUCKETS; i++) {
    count += of->took[i];
    buffer_format(out, "%s_bucket{method=\"%s\",route=\"%s\",le=\"%s\"} %" PRIu64 "\n", name, of->method, of->route,
                  i < BUCKETS ? buckets[i].le : "+Inf", count);
  }
  buffer_format(out, "%s_sum{method=\"%s\",route=\"%s\"} %.15g\n", name, of->method, of->route,
                (double)of->took_ns * 1e-9);
  buffer_format(out, "%s_count{method=\"%s\",route=\"%s\"} %" PRIu64 "\n", name, of->method, of->route, count);
}

static void write_requests(writing *self, const http_metrics *metrics, uint32_t connections) {
  write_number(self, "cafe_http_connections", "gauge", "Connections to this port.", connections);
  if (!metrics->series) {
    return;
  }
  write_head(self, "cafe_http_requests_total", "counter", "Requests answered.");
  for (const series *of = metrics->series; of; of = of->next) {
    for (uint32_t i = 0; i < of->status_count; i++) {
      buffer_format(self->out, "cafe_http_requests_total{method=\"%s\",route=\"%s\",status=\"%u\"} %" PRIu64 "\n",
                    of->method, of->route, of->statuses[i].status, of->statuses[i].count);
    }
  }
  write_head(self, "cafe_http_request_duration_seconds", "histogram", "From a request's head to its answer.");
  for (const series *of = metrics->series; of; of = of->next) {
    write_took(self->out, of);
  }
}

/* ---- the process, under the names that Prometheus' client libraries give it ---- */

static double open_files(void) {
  DIR *folder = opendir("/proc/self/fd");
  double count = -1; /* its own */
  if (!folder) {
    return 0;
  }
  for (const struct dirent *each; (each = readdir(folder));) {
    count += each->d_name[0] != '.';
  }
  (void)closedir(folder);
  return count;
}

static void write_process(writing *self, double start_s) {
  struct rusage used;
  struct rlimit files;
  unsigned long long pages = 0;
  unsigned long long resident = 0;
  FILE *memory = fopen("/proc/self/statm", "re");
  if (memory) {
    if (fscanf(memory, "%llu %llu", &pages, &resident) == 2) {
      double page = (double)sysconf(_SC_PAGESIZE);
      write_number(self, "process_virtual_memory_bytes", "gauge", "Virtual memory.", (double)pages * page);
      write_number(self, "process_resident_memory_bytes", "gauge", "Resident memory.", (double)resident * page);
    }
    (void)fclose(memory);
  }
  if (getrusage(RUSAGE_SELF, &used) == 0) {
    double seconds = (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
                     (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) * 1e-6;
    write_number(self, "process_cpu_seconds_total", "counter", "Time on a processor, user and system.", seconds);
  }
  write_number(self, "process_start_time_seconds", "gauge", "When it was started, since 1970-01-01 UTC.", start_s);
  write_number(self, "process_open_fds", "gauge", "Open files and connections.", open_files());
  if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
    write_number(self, "process_max_fds", "gauge", "Files and connections that may be open.", (double)files.rlim_cur);
  }
}

static void render(http_request *request) {
  exchange *self = (exchange *)request;
  http_metrics *metrics = exchange_metrics(self);
  writing to = {http_body(request), NULL};
  cafe_node_metrics(request->node, write_sample, &to);
  write_rows(&to, metrics);
  write_requests(&to, metrics, exchange_connections(self));
  write_process(&to, metrics->start_s);
  self->content_type = "text/plain; version=0.0.4; charset=utf-8";
  http_send(request, 200);
}

void http_metrics_get(http_request *request) {
  http_metrics *self = exchange_metrics((exchange *)request);
  self->node = request->node;
  self->view = request->service->view;
  if (!self->is_counting && uv_hrtime() >= self->count_at_ns) {
    begin_count(self, self->is_known ? NULL : request);
  }
  if (self->waiting != request) {
    render(request);
  }
}
