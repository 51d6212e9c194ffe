/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What the node knows of itself, as samples. Nothing is counted for the samples' sake but by adding one to an integer
 * that is at hand where it happens; all words are put to the numbers here, when somebody asks.
 *
 * What is kept here: samples of a family follow each other, and no label takes its values from outside, so that the
 * number of samples depends on what is hosted and on nothing else. A saga's places are bounded (count.c).
 */
#include "engine/metrics.h"

#include "cafe/metrics.h"
#include "engine/consume.h"
#include "engine/guard.h"

/* ---- histograms ---- */

typedef struct bucket {
  uint64_t most;
  const char *le;
} bucket;

/* From a memory store's commit to a disk that hardly moves; in microseconds. */
static const bucket second_buckets[HISTOGRAM_BUCKETS] = {
    {100, "0.0001"}, {250, "0.00025"}, {500, "0.0005"}, {1000, "0.001"}, {2500, "0.0025"}, {5000, "0.005"},
    {10000, "0.01"}, {25000, "0.025"}, {50000, "0.05"}, {100000, "0.1"}, {250000, "0.25"}, {1000000, "1"}};
static const bucket unit_buckets[HISTOGRAM_BUCKETS] = {{1, "1"},     {2, "2"},     {4, "4"},       {8, "8"},
                                                       {16, "16"},   {32, "32"},   {64, "64"},     {128, "128"},
                                                       {256, "256"}, {512, "512"}, {1024, "1024"}, {2048, "2048"}};

/* From a call next door to a caller's last patience. */
static const bucket call_buckets[HISTOGRAM_BUCKETS] = {
    {5000, "0.005"}, {10000, "0.01"}, {25000, "0.025"}, {50000, "0.05"},  {100000, "0.1"}, {200000, "0.2"},
    {400000, "0.4"}, {600000, "0.6"}, {1000000, "1"},   {2500000, "2.5"}, {5000000, "5"},  {10000000, "10"}};

static void add(histogram *to, const bucket *buckets, uint64_t value) {
  uint32_t i = 0;
  while (i < HISTOGRAM_BUCKETS && value > buckets[i].most)
    i++;
  to->counts[i]++;
  to->sum += value;
}

void metrics_commit(cafe_node *node, int64_t took_us, uint32_t units) {
  add(&node->commit_us, second_buckets, took_us > 0 ? (uint64_t)took_us : 0);
  add(&node->commit_units, unit_buckets, units);
}

void metrics_guarded(histogram *took, int64_t took_us) { add(took, call_buckets, took_us > 0 ? (uint64_t)took_us : 0); }

/* ---- samples ---- */

enum { LABELS_MAX = 3 };

typedef struct visit {
  cafe_node *node;
  cafe_sample sample;
  const char *names[LABELS_MAX], *values[LABELS_MAX];
  void (*tell)(const cafe_sample *sample, void *user);
  void *user;
} visit;

static void family(visit *v, cafe_sample_kind kind, const char *name, const char *help) {
  v->sample.kind = kind;
  v->sample.name = name;
  v->sample.help = help;
  v->sample.suffix = "";
  v->sample.label_count = 0;
}

static void label(visit *v, const char *name, const char *value) {
  v->names[v->sample.label_count] = name;
  v->values[v->sample.label_count++] = value;
}

/* Says the number, with the labels since the last one. */
static void tell(visit *v, double value) {
  v->sample.value = value;
  v->tell(&v->sample, v->user);
  v->sample.label_count = 0;
}

static void counter(visit *v, const char *name, const char *help, uint64_t value) {
  family(v, CAFE_SAMPLE_COUNTER, name, help);
  tell(v, (double)value);
}

static void gauge(visit *v, const char *name, const char *help, uint64_t value) {
  family(v, CAFE_SAMPLE_GAUGE, name, help);
  tell(v, (double)value);
}

/* whose NULL: it has no label but its own. */
static void add_distribution(visit *v, const char *whose, const bucket *buckets, const histogram *of, double scale) {
  uint64_t count = 0;
  v->sample.suffix = "_bucket";
  for (uint32_t i = 0; i <= HISTOGRAM_BUCKETS; i++) {
    count += of->counts[i];
    if (whose)
      label(v, "name", whose);
    label(v, "le", i < HISTOGRAM_BUCKETS ? buckets[i].le : "+Inf");
    tell(v, (double)count);
  }
  v->sample.suffix = "_sum";
  if (whose)
    label(v, "name", whose);
  tell(v, (double)of->sum * scale);
  v->sample.suffix = "_count";
  if (whose)
    label(v, "name", whose);
  tell(v, (double)count);
}

static void distribution(visit *v, const char *name, const char *help, const bucket *buckets, const histogram *of,
                         double scale) {
  family(v, CAFE_SAMPLE_HISTOGRAM, name, help);
  add_distribution(v, NULL, buckets, of, scale);
}

static void tell_commands(visit *v) {
  static const char *const verdicts[] = {NULL, "accepted", "unchanged", "pending", "refused"};
  const registry *known = &v->node->registry;
  family(v, CAFE_SAMPLE_COUNTER, "cafe_commands_total", "Commands decided, with those that others caused.");
  for (uint32_t i = 0; i < known->aggregate_count; i++) {
    if (!known->aggregates[i].is_local)
      continue;
    for (const cafe_command_type *type = known->aggregates[i].type->commands; type->command; type++) {
      const command_type *command = registry_command(v->node, type->command);
      for (int verdict = CAFE_ACCEPTED; command && verdict <= CAFE_REFUSED; verdict++) {
        label(v, "command", type->command->name);
        label(v, "verdict", verdicts[verdict]);
        tell(v, (double)command->decided[verdict]);
      }
    }
  }
}

static void tell_work(visit *v) {
  const cafe_node *node = v->node;
  counter(v, "cafe_events_total", "Events committed.", node->stats.events);
  counter(v, "cafe_units_total", "Units of work committed, without those of views that a subscription keeps.",
          node->stats.units);
  counter(v, "cafe_conflicts_total", "Units that another writer was before, and that were decided again.",
          node->stats.conflicts);
  counter(v, "cafe_batches_total", "Durable writes.", node->stats.batches);
  counter(v, "cafe_batches_failed_total", "Durable writes that failed, whole.", node->batches_failed);
  distribution(v, "cafe_commit_seconds", "How long a durable write took.", second_buckets, &node->commit_us, 1e-6);
  distribution(v, "cafe_commit_units", "Units in one durable write.", unit_buckets, &node->commit_units, 1);
  gauge(v, "cafe_ready", "1: it runs, and the store took the last write; else 0.",
        cafe_node_ready(node, NULL) == CAFE_OK);
  gauge(v, "cafe_queue_depth", "Operations not answered yet.", node->op_count);
  gauge(v, "cafe_cached_keys", "Keys in memory.", map_count(node->subjects));
  gauge(v, "cafe_tasks_running", "Calls to the outside world under way.", node->stats.tasks_running);
  counter(v, "cafe_tasks_given_up_total", "Tasks whose last attempt failed.", node->stats.parked);
  gauge(v, "cafe_dead_letters", "Records that are parked, with those that wait behind them.", node->stats.dead_letters);
}

static void tell_breakers(visit *v) {
  family(v, CAFE_SAMPLE_GAUGE, "cafe_breaker_state", "1: the circuit breaker is in this state; else 0.");
  for (const struct guard *guard = v->node->guards; guard; guard = guard->next) {
    for (int state = CAFE_BREAKER_CLOSED; state <= CAFE_BREAKER_HALF_OPEN; state++) {
      label(v, "name", guard->said.name);
      label(v, "state", cafe_breaker_state_name((cafe_breaker_state)state));
      tell(v, (int)guard->breaker.state == state);
    }
  }
  family(v, CAFE_SAMPLE_COUNTER, "cafe_breaker_transitions_total", "So often it came into this state.");
  for (const struct guard *guard = v->node->guards; guard; guard = guard->next) {
    for (int state = CAFE_BREAKER_CLOSED; state <= CAFE_BREAKER_HALF_OPEN; state++) {
      label(v, "name", guard->said.name);
      label(v, "to", cafe_breaker_state_name((cafe_breaker_state)state));
      tell(v, (double)guard->entered[state]);
    }
  }
}

static void tell_limits(visit *v) {
  const struct guard *guard;
  family(v, CAFE_SAMPLE_GAUGE, "cafe_guard_limit", "So many calls may be under way.");
  LL_FOREACH(v->node->guards, guard) {
    label(v, "name", guard->said.name);
    tell(v, guard->limit.limit);
  }
  family(v, CAFE_SAMPLE_GAUGE, "cafe_guard_in_flight", "So many calls are under way.");
  LL_FOREACH(v->node->guards, guard) {
    label(v, "name", guard->said.name);
    tell(v, guard->limit.running);
  }
  family(v, CAFE_SAMPLE_COUNTER, "cafe_guard_admitted_total", "Calls that got a permit.");
  LL_FOREACH(v->node->guards, guard) {
    label(v, "name", guard->said.name);
    tell(v, (double)guard->admitted);
  }
  family(v, CAFE_SAMPLE_COUNTER, "cafe_guard_rejected_total",
         "Calls that got none, since the breaker is open, or as "
         "many are under way as the limit allows.");
  LL_FOREACH(v->node->guards, guard) {
    label(v, "name", guard->said.name);
    label(v, "reason", "open");
    tell(v, (double)guard->rejected_open);
    label(v, "name", guard->said.name);
    label(v, "reason", "limit");
    tell(v, (double)guard->rejected_limit);
  }
}

static void tell_ends(visit *v) {
  static const char *const ends[] = {NULL, "succeeded", "failed", "unused"};
  const struct guard *guard;
  family(v, CAFE_SAMPLE_COUNTER, "cafe_guard_ended_total", "How calls with a permit ended.");
  LL_FOREACH(v->node->guards, guard) {
    for (int end = CAFE_CALL_SUCCEEDED; end <= CAFE_CALL_UNUSED; end++) {
      label(v, "name", guard->said.name);
      label(v, "end", ends[end]);
      tell(v, (double)guard->ended[end]);
    }
  }
  family(v, CAFE_SAMPLE_HISTOGRAM, "cafe_guard_seconds", "How long calls took that succeeded or failed.");
  LL_FOREACH(v->node->guards, guard) { add_distribution(v, guard->said.name, call_buckets, &guard->took_us, 1e-6); }
}

/* Now - since when the consumer doesn't hold all that is known of its log; 0: it does. */
static int64_t lag_ms(const struct consumer *consumer) {
  bool is_behind = consumer_head(consumer) > consumer->watermark && consumer->complete_ms;
  int64_t lag = is_behind ? node_utc_ms(consumer->node) - consumer->complete_ms : 0;
  return lag > 0 ? lag : 0;
}

static void tell_lags(visit *v) {
  const registry *known = &v->node->registry;
  const struct consumer *consumer;
  family(
      v, CAFE_SAMPLE_GAUGE, "cafe_view_lag_seconds",
      "How long the oldest event that the view doesn't hold yet has been waiting, as far as is known; 0 at the head.");
  for (uint32_t i = 0; i < known->view_count; i++) {
    int64_t lag = 0;
    LL_FOREACH(v->node->consumers, consumer) {
      if (consumer->kind == CONSUME_VIEW && consumer->index == i && lag_ms(consumer) > lag)
        lag = lag_ms(consumer);
    }
    label(v, "view", known->views[i].type->name);
    tell(v, (double)lag / 1000);
  }
  family(v, CAFE_SAMPLE_GAUGE, "cafe_subscription_lag_seconds",
         "The same for each subscription of policies, sagas and views.");
  LL_FOREACH(v->node->consumers, consumer) {
    if (consumer->shard)
      continue; /* one of several with this name: the first one tells for all */
    int64_t lag = 0;
    const struct consumer *shard;
    LL_FOREACH(v->node->consumers, shard) {
      if (strcmp(shard->name, consumer->name) == 0 && lag_ms(shard) > lag)
        lag = lag_ms(shard);
    }
    label(v, "subscription", consumer->name);
    tell(v, (double)lag / 1000);
  }
}

static void tell_peer(const cafe_peer *peer, void *user) {
  visit *v = user;
  label(v, "peer", peer->service);
  tell(v, peer->is_up);
}

static void tell_peers(visit *v) {
  family(v, CAFE_SAMPLE_GAUGE, "cafe_peer_up", "1: the node is connected to this service; else 0.");
  cafe_node_peers(v->node, tell_peer, v);
}

static void tell_sagas(visit *v) {
  const saga_census *census = v->node->census;
  if (!census)
    return;
  family(v, CAFE_SAMPLE_GAUGE, "cafe_sagas", "Sagas that aren't over, by where they stand.");
  for (const saga_place *place = census->places; place; place = place->next) {
    label(v, "saga", place->saga);
    label(v, "phase", place->phase);
    label(v, "steps", place->steps);
    tell(v, (double)place->count);
  }
  family(v, CAFE_SAMPLE_GAUGE, "cafe_saga_age_seconds",
         "Since the oldest saga that isn't over began; 0: there is none.");
  for (const saga_age *age = census->ages; age; age = age->next) {
    int64_t ms = age->oldest_ms ? node_utc_ms(v->node) - age->oldest_ms : 0;
    label(v, "saga", age->saga);
    tell(v, ms > 0 ? (double)ms / 1000 : 0);
  }
}

void cafe_node_metrics(cafe_node *node, void (*tell_one)(const cafe_sample *sample, void *user), void *user) {
  visit v = {.node = node, .sample = {.size = sizeof v.sample}, .tell = tell_one, .user = user};
  v.sample.label_names = v.names;
  v.sample.label_values = v.values;
  census_refresh(node);
  tell_commands(&v);
  tell_work(&v);
  if (node->guards) {
    tell_breakers(&v);
    tell_limits(&v);
    tell_ends(&v);
  }
  tell_lags(&v);
  tell_peers(&v);
  tell_sagas(&v);
}
