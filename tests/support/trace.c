/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The tracer: tables of methods that tell and hand on.
 *
 * What it keeps: the order of the lines is the order of what happened. A unit is told after its commit, never when it
 * is decided; an answer when it is given. Nothing is asked of what is watched, so a traced run is the same as one that
 * isn't.
 */
#include "trace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <utlist.h>

#include "cafe/sys/loop.h"
#include "cafe/testing/sim.h"
#include "channel/channel.h"
#include "gateway/gateway.h"
#include "trace_watch.h"

/* Something of a node's that has a callback: whoever calls it, calls the tracer first. */
typedef struct pending {
  watched *of;
  void *thing;
  void (*done)(cafe_request *request, const cafe_err *err, cafe_slice answer);
  void (*on_events)(cafe_link *link, const cafe_stored_event *events, uint32_t count, uint64_t scanned, uint64_t head);
  void (*on_lost)(cafe_link *link, const cafe_err *err);
  void (*called)(gateway_call *call, cafe_gateway_result result, cafe_slice reference, const char *text);
  void (*delivered)(channel_delivery *delivery, const cafe_err *err);
  struct pending *next;
} pending;

/* Callbacks have no place for a tracer of their own. A test that fails leaves its tracer here, for the next to replace.
 */
static trace *current;

/* ---- lines ---- */

int64_t trace_now_ms(const trace *t) { return (cafe_sim_now_us(t->world) - t->zero_us) / 1000; }

void trace_line(trace *t, bool is_first, const char *node, const char *what, const char *subject, const char *details) {
  char head[40], text[640];
  if (!t->is_on) {
    return;
  }
  int width = snprintf(head, sizeof(head), "[%6lld] ", (long long)trace_now_ms(t));
  if (t->is_split) {
    width += snprintf(head + width, sizeof(head) - (size_t)width, "%-10s", node ? node : "");
  }
  if (!is_first) {
    memset(head, ' ', (size_t)width);
  }
  snprintf(text, sizeof(text), "%s%-9s%-25s %s", head, is_first ? what : "", subject, details);
  for (size_t size = strlen(text); size && text[size - 1] == ' '; size--) {
    text[size - 1] = '\0';
  }
  trace_lines_add(&t->lines, text);
}

void trace_say(trace *t, const char *node, const char *what, const char *subject, const char *format, ...) {
  char details[512];
  va_list args;
  va_start(args, format);
  vsnprintf(details, sizeof(details), format, args);
  va_end(args);
  trace_line(t, true, node, what, subject, details);
}

void trace_answer(trace *t, const char *node, const cafe_err *err, const cafe_outcome *outcome) {
  static const char *const verdicts[] = {"", "accepted", "unchanged", "pending", "refused"};
  char subject[64];
  trace_text out = {"", 0};
  if (err) {
    trace_say(t, node, "answer", cafe_code_name(err->code), "%s", err->text);
    return;
  }
  snprintf(subject, sizeof(subject), "%s, %llu v%llu", outcome->replayed ? "repeated" : verdicts[outcome->verdict],
           (unsigned long long)outcome->key, (unsigned long long)outcome->version);
  if (outcome->replayed) {
    snprintf(subject, sizeof(subject), "repeated, %llu", (unsigned long long)outcome->key);
  }
  if (outcome->event) {
    trace_add(&out, "%s", outcome->event->type->name);
  } else if (outcome->text) {
    trace_add(&out, "%s: %s", outcome->reason, outcome->text);
  }
  if (outcome->reply.size) {
    trace_add(&out, "%s\"%.*s\" is kept under the key", out.size ? "; " : "", (int)outcome->reply.size,
              outcome->reply.data);
  }
  trace_line(t, true, node, "answer", subject, out.text);
}

void trace_log(trace *t, const char *node, const cafe_log_record *record) {
  static const char *const levels[] = {"", "error", "warning", "info", "debug"};
  trace_line(t, true, node, "log", levels[record->level], record->text);
}

/* ---- what is watched ---- */

watched *trace_watch(trace *t, const char *node, const void **place, size_t size) {
  watched *made = calloc(1, sizeof(*made));
  assert_non_null(made);
  made->trace = t;
  made->original = *place;
  made->place = place;
  snprintf(made->node, sizeof(made->node), "%s", node);
  memcpy(&made->ops, *place, size);
  *place = &made->ops;
  LL_PREPEND(t->watched, made);
  return made;
}

watched *trace_watched(const void *ops) { return (watched *)ops; }

static pending *keep(watched *of, void *thing) {
  pending *made = calloc(1, sizeof(*made));
  assert_non_null(made);
  made->of = of;
  made->thing = thing;
  LL_APPEND(of->trace->pending, made);
  return made;
}

static pending *find(const void *thing) {
  pending *p;
  LL_SEARCH_SCALAR(current->pending, p, thing, thing);
  return p;
}

static pending take(const void *thing) {
  pending *p = find(thing);
  assert_non_null(p);
  pending copy = *p;
  LL_DELETE(current->pending, p);
  free(p);
  return copy;
}

void trace_add_read(trace_text *out, const cafe_stored_event *event) {
  trace_add(out, "%s%s %llu", out->size ? ", " : "", event->type, (unsigned long long)event->key);
}

/* ---- the transport ---- */

static void request_done(cafe_request *request, const cafe_err *err, cafe_slice answer) {
  pending p = take(request);
  trace_text out = {"", 0};
  if (err)
    trace_add(&out, "%s: %s", cafe_code_name(err->code), err->text);
  else
    trace_reply(&out, answer);
  char subject[64];
  snprintf(subject, sizeof(subject), "from %s", request->service);
  trace_line(current, true, p.of->node, "reply", subject, out.text);
  request->done = p.done;
  request->done(request, err, answer);
}

static int transport_request(cafe_transport *self, cafe_request *request, cafe_err *err) {
  watched *of = trace_watched(self->ops);
  char subject[64];
  trace_text out = {"", 0};
  trace_request(&out, request->body);
  trace_add(&out, ", deadline %lld", (long long)((request->budget.deadline_us - of->trace->zero_us) / 1000));
  snprintf(subject, sizeof(subject), "to %s", request->service);
  trace_line(of->trace, true, of->node, "request", subject, out.text);
  pending *p = keep(of, request);
  p->done = request->done;
  request->done = request_done;
  int code = ((const cafe_transport_ops *)of->original)->request(self, request, err);
  if (code) {
    request->done = take(request).done;
  }
  return code;
}

static void transport_cancel(cafe_transport *self, cafe_request *request) {
  request->done = take(request).done;
  ((const cafe_transport_ops *)trace_watched(self->ops)->original)->cancel(self, request);
}

static void link_events(cafe_link *link, const cafe_stored_event *events, uint32_t count, uint64_t scanned,
                        uint64_t head) {
  const pending *p = find(link);
  trace_text out = {"", 0};
  for (uint32_t i = 0; i < count; i++) {
    trace_add_read(&out, &events[i]);
  }
  if (count) {
    trace_line(current, true, p->of->node, "record", link->name, out.text);
  }
  p->on_events(link, events, count, scanned, head);
}

static void link_lost(cafe_link *link, const cafe_err *err) {
  const pending *p = find(link);
  trace_line(current, true, p->of->node, "lost", link->name, err->text);
  p->on_lost(link, err);
}

static int transport_subscribe(cafe_transport *self, cafe_link *link, cafe_err *err) {
  watched *of = trace_watched(self->ops);
  pending *p = keep(of, link);
  p->on_events = link->on_events;
  p->on_lost = link->on_lost;
  link->on_events = link_events;
  link->on_lost = link_lost;
  int code = ((const cafe_transport_ops *)of->original)->subscribe(self, link, err);
  if (code) {
    (void)take(link);
  }
  return code;
}

static void transport_unsubscribe(cafe_transport *self, cafe_link *link) {
  if (find(link)) {
    (void)take(link);
  }
  ((const cafe_transport_ops *)trace_watched(self->ops)->original)->unsubscribe(self, link);
}

void trace_transport(trace *t, const char *node, cafe_transport *transport) {
  watched *of = trace_watch(t, node, (const void **)&transport->ops, sizeof(*transport->ops));
  of->ops.transport.request = transport_request;
  of->ops.transport.cancel = transport_cancel;
  of->ops.transport.subscribe = transport_subscribe;
  of->ops.transport.unsubscribe = transport_unsubscribe;
}

/* ---- the gateway ---- */

static const char *gateway_subject(char out[64], const cafe_gateway_call *call) {
  snprintf(out, 64, "gateway, %s %llu", trace_operation(call->operation), (unsigned long long)call->payment_id);
  return out;
}

static void gateway_answered(gateway_call *call, cafe_gateway_result result, cafe_slice reference, const char *text) {
  static const char *const results[] = {"", "done", "declined", "refused", "unknown"};
  pending p = take(call);
  char subject[64];
  trace_text out = {"", 0};
  trace_add(&out, "%s", results[result]);
  if (text && strcmp(text, results[result]) != 0) {
    trace_add(&out, ": %s", text);
  }
  trace_line(current, true, p.of->node, "result", gateway_subject(subject, &call->call), out.text);
  call->answered = p.called;
  call->answered(call, result, reference, text);
}

static int gateway_start(cafe_gateway *self, cafe_gateway_call *call, cafe_err *err) {
  watched *of = trace_watched(self->ops);
  char subject[64];
  trace_text out = {"", 0};
  trace_add(&out, "%lld %.*s under %s%s", (long long)call->amount_minor, (int)call->currency.size, call->currency.data,
            call->idempotency_key, call->may_have_run ? ", may have run before" : "");
  trace_line(of->trace, true, of->node, "call", gateway_subject(subject, call), out.text);
  pending *p = keep(of, call);
  p->called = ((gateway_call *)call)->answered;
  ((gateway_call *)call)->answered = gateway_answered;
  int code = ((const cafe_gateway_ops *)of->original)->start(self, call, err);
  if (code) {
    (void)take(call);
  }
  return code;
}

static void gateway_stop(cafe_gateway *self, cafe_gateway_call *call) {
  const watched *of = trace_watched(self->ops);
  char subject[64];
  (void)take(call);
  trace_line(of->trace, true, of->node, "let go", gateway_subject(subject, call), "");
  ((const cafe_gateway_ops *)of->original)->stop(self, call);
}

void trace_gateway(trace *t, const char *node, cafe_gateway *gateway) {
  watched *of = trace_watch(t, node, (const void **)&gateway->ops, sizeof(*gateway->ops));
  of->ops.gateway.start = gateway_start;
  of->ops.gateway.stop = gateway_stop;
}

/* ---- the channel ---- */

static const char *channel_subject(char out[64], const watched *of, const cafe_delivery *delivery) {
  snprintf(out, 64, "%s, %s", of->name, delivery->notification_id);
  return out;
}

static void delivery_answered(channel_delivery *delivery, const cafe_err *err) {
  pending p = take(delivery);
  char subject[64];
  trace_line(current, true, p.of->node, "result", channel_subject(subject, p.of, &delivery->delivery),
             err ? err->text : "delivered");
  delivery->answered = p.delivered;
  delivery->answered(delivery, err);
}

static int channel_send(cafe_channel *self, cafe_delivery *delivery, cafe_err *err) {
  watched *of = trace_watched(self->ops);
  char subject[64];
  trace_text out = {"", 0};
  trace_add(&out, "%.*s", (int)delivery->event.size, delivery->event.data);
  if (delivery->attempt > 1) {
    trace_add(&out, ", attempt %u", delivery->attempt);
  }
  trace_line(of->trace, true, of->node, "send", channel_subject(subject, of, delivery), out.text);
  pending *p = keep(of, delivery);
  p->delivered = ((channel_delivery *)delivery)->answered;
  ((channel_delivery *)delivery)->answered = delivery_answered;
  int code = ((const cafe_channel_ops *)of->original)->send(self, delivery, err);
  if (code) {
    (void)take(delivery);
  }
  return code;
}

static void channel_stop(cafe_channel *self, cafe_delivery *delivery) {
  const watched *of = trace_watched(self->ops);
  char subject[64];
  (void)take(delivery);
  trace_line(of->trace, true, of->node, "let go", channel_subject(subject, of, delivery), "");
  ((const cafe_channel_ops *)of->original)->stop(self, delivery);
}

void trace_channel(trace *t, const char *node, cafe_channel *channel) {
  watched *of = trace_watch(t, node, (const void **)&channel->ops, sizeof(*channel->ops));
  snprintf(of->name, sizeof(of->name), "%s", channel->name);
  of->ops.channel.send = channel_send;
  of->ops.channel.stop = channel_stop;
}

/* ---- the whole ---- */

void trace_crashed(trace *t, const char *node) {
  pending *p, *next;
  LL_FOREACH_SAFE(t->pending, p, next) {
    if (strcmp(p->of->node, node) != 0) {
      continue;
    }
    /* Objects outlive the process that called them: they are told as the system tells them, by a closed connection. */
    void *object = (char *)(void *)p->of->place;
    if (p->called)
      ((const cafe_gateway_ops *)p->of->original)->stop(object, p->thing);
    if (p->delivered)
      ((const cafe_channel_ops *)p->of->original)->stop(object, p->thing);
    LL_DELETE(t->pending, p);
    free(p);
  }
}

trace *trace_create(cafe_loop *world, bool is_split) {
  trace *t = calloc(1, sizeof(*t));
  assert_non_null(t);
  t->world = world;
  t->is_split = is_split;
  current = t;
  return t;
}

void trace_destroy(trace *t) {
  while (t->watched) {
    watched *of = t->watched;
    *of->place = of->original;
    LL_DELETE(t->watched, of);
    free(of);
  }
  assert_null(t->pending);
  trace_lines_free(&t->lines);
  free(t);
  current = NULL;
}

void trace_begin(trace *t) {
  t->is_on = true;
  t->zero_us = cafe_sim_now_us(t->world);
  trace_words_begin(t->world->ops->utc_ms(t->world));
}

void trace_next(trace *t) { trace_lines_next(&t->lines); }
void trace_end(trace *t) { t->is_on = false; }
void trace_resume(trace *t) { t->is_on = true; }

void trace_check(const trace *t, const char *page, const char *name) { trace_lines_check(&t->lines, page, name); }
