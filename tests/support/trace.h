/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TRACE_H
#define TRACE_H

#include "cafe/cafe.h"
#include "cafe/op.h"
#include "cafe/sys/channel.h"
#include "cafe/sys/gateway.h"
#include "cafe/sys/store.h"
#include "cafe/sys/transport.h"

/*
 * What happens to a whole order, as lines of text:
 *
 *   [     0] command  place order              latte x1, 4500 KRW
 *   [     1] commit   order 1041 v1            OrderDrafted, waits until 600
 *                     saga order               running: authorize, due at 600
 *
 * The tracer looks from outside. It takes the place of an object's table of methods, tells what goes through them, and
 * hands it on; nothing in lib/ knows of it. Times are virtual milliseconds since trace_begin. One tracer at a time.
 *
 * The lines are compared with the documents, which are their expected text: trace_check.
 */
typedef struct trace trace;

/* world: whose clock it reads. is_split: each line names its node. */
trace *trace_create(cafe_loop *world, bool is_split);
/* Gives all tables back: after the nodes are gone, before what was watched is destroyed. */
void trace_destroy(trace *t);

/* Watches an object, until trace_destroy. BORROW both; node: the name in its lines. */
void trace_store(trace *t, const char *node, cafe_store *store);
void trace_transport(trace *t, const char *node, cafe_transport *transport);
void trace_gateway(trace *t, const char *node, cafe_gateway *gateway);
void trace_channel(trace *t, const char *node, cafe_channel *channel);

/* The node is gone without a word: its requests and links are forgotten, its calls and deliveries let go of. */
void trace_crashed(trace *t, const char *node);

/* From here on all is told; this is time 0. */
void trace_begin(trace *t);
/* What follows belongs to the next block of the document. */
void trace_next(trace *t);
/* Nothing is told from here on, until trace_resume; time goes on. */
void trace_end(trace *t);
void trace_resume(trace *t);

/* Milliseconds since trace_begin. */
int64_t trace_now_ms(const trace *t);

/* One line, for what the tracer can't see itself. subject and details may be empty. */
void trace_say(trace *t, const char *node, const char *what, const char *subject, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
void trace_answer(trace *t, const char *node, const cafe_err *err, const cafe_outcome *outcome);
void trace_log(trace *t, const char *node, const cafe_log_record *record);

/* Compares the lines with the blocks of a page of docs/ that are fenced as ```trace <name>, in their order, and fails
 * the test at the first line that differs. With CAFE_UPDATE=1 in the environment it writes the blocks instead. */
void trace_check(const trace *t, const char *page, const char *name);

/* ---- trace_words.c: how things read ---- */

typedef struct trace_text {
  char text[512];
  size_t size;
} trace_text;

void trace_add(trace_text *out, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The zero of all UTC times that are told. */
void trace_words_begin(int64_t utc_ms);
const char *trace_time(char out[24], int64_t utc_ms);
/* "OrderDrafted, waits until 600" */
void trace_event(trace_text *out, const char *type, cafe_slice data);
/* Its statuses: "Ordered" */
void trace_row(trace_text *out, const cafe_schema *row, const void *data);
void trace_saga(trace_text *out, const void *data);
/* Requests between nodes, as they are on the wire: "AuthorizePayment 1041"; "accepted, PaymentApproved" */
void trace_request(trace_text *out, cafe_slice body);
void trace_reply(trace_text *out, cafe_slice body);
const char *trace_operation(cafe_payment_operation operation);

#endif
