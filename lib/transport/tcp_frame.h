/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TRANSPORT_TCP_FRAME_H
#define TRANSPORT_TCP_FRAME_H

#include "cafe/schema.h"
#include "cafe/sys/store.h"
#include "transport/tcp_buffer.h"

/* What goes over a connection: a length of 4 bytes, the highest first, then so many bytes of msgpack, an array by the
 * field table of its kind. The side that connected asks, the other one answers; hello, ping and pong are both's. */

enum {
  FRAME_VERSION = 1,
  FRAME_LENGTH = 4,          /* bytes that tell the length */
  FRAME_TYPES_MAX = 1 << 16, /* bytes of a subscription's types: a thousand long names */
  BATCH_EVENTS = 512,        /* at most, in a batch */
  BATCH_BYTES = 128 * 1024   /* a batch that has reached it is full: a commit of that size is cheap */
};

typedef enum frame_kind {
  FRAME_HELLO = 1,   /* the first one, of both: who is there */
  FRAME_REQUEST = 2, /* is asked */
  FRAME_ANSWER = 3,
  FRAME_CANCEL = 4, /* the request isn't wanted any more */
  FRAME_PULL = 5,   /* a subscription begins */
  FRAME_BATCH = 6,  /* its events; with an error it has ended */
  FRAME_MORE = 7,   /* so many batches more may be sent */
  FRAME_FORGET = 8, /* the subscription isn't wanted any more */
  FRAME_PING = 9,
  FRAME_PONG = 10
} frame_kind;

/* One frame of any kind; which members a kind has is said by its field table. Texts lie in the bytes it was read from.
 * Numbers of 64 bits that may be any are signed here, as msgpack's integers are in a schema. */
typedef struct frame {
  int64_t version;
  int64_t kind;
  uint64_t number; /* of the request or subscription: rising on a connection, chosen by who asks */

  cafe_slice services; /* HELLO: each with a NUL behind it */
  uint64_t max_frame;  /* HELLO: bytes that its sender takes */

  cafe_slice service; /* REQUEST, PULL */
  cafe_slice body;    /* REQUEST, ANSWER */
  int64_t key;        /* REQUEST */
  int64_t budget_us;  /* REQUEST: what is left; 0: no deadline */
  uint64_t retries;   /* REQUEST */

  uint64_t code; /* ANSWER, BATCH: a cafe_code; 0: none, and no more is said of it */
  int64_t detail;
  int64_t retry_after_ms;
  cafe_slice text;

  cafe_slice types;   /* PULL: each with a NUL behind it */
  int64_t partitions; /* PULL */
  uint64_t shard;     /* PULL */
  int64_t log_id;     /* PULL, BATCH */
  uint64_t after;     /* PULL */
  uint64_t seen;      /* PULL */
  uint64_t credit;    /* PULL, MORE: batches that may be sent */

  uint64_t scanned;  /* BATCH */
  uint64_t head;     /* BATCH */
  uint64_t count;    /* BATCH: of the events */
  cafe_slice names;  /* BATCH: aggregates, each with a NUL behind it */
  cafe_slice events; /* BATCH: each a length of 4 bytes and an array by frame_event_type */
} frame;

/* One event within a batch. */
typedef struct frame_event {
  uint64_t n;
  uint64_t type;      /* the index in the subscription's types */
  uint64_t aggregate; /* where its name begins in the batch's names */
  uint64_t key;
  int64_t version;
  int64_t time_ms;
  cafe_slice trace;
  cafe_slice data;
  cafe_slice meta;
} frame_event;

extern const cafe_schema frame_event_type;

/* The field table of a kind, NULL for a number that is none. */
const cafe_schema *frame_type(int64_t kind);

/* Writes the frame behind what is in the buffer; its version is set. CAFE_NOMEM; CAFE_INVALID: it is longer than
 * max_frame, or has a value outside its type. On failure nothing was written. */
int frame_put(buffer *out, frame *f, size_t max_frame, cafe_err *err);

/* Whether a whole frame begins the bytes: 1, with the msgpack in *out; 0, there has to be more; -1, its length is more
 * than max_frame, or 0. */
int frame_cut(cafe_slice *out, cafe_slice bytes, size_t max_frame);

/* How many bytes the first frame lacks, as far as its length can be known; 0: it is whole. */
size_t frame_missing(cafe_slice bytes);

/* Reads what frame_cut cut off. CAFE_INVALID; CAFE_UNSUPPORTED: it has another version, which is set, and no more. */
int frame_read(frame *out, cafe_slice bytes, cafe_err *err);

/* The error of an ANSWER or a BATCH, whole; with code 0 there is none. False: it is one that can't be. */
bool frame_failure(cafe_err *out, const frame *f);
void frame_set_failure(frame *f, const cafe_err *err);

/* Whether all bytes belong to texts that aren't empty, each with a NUL behind it; *count is how many. */
bool frame_texts(uint32_t *count, cafe_slice texts);

/* Makes the buffer hold the texts, up to a NULL, each with a NUL behind it. CAFE_NOMEM. */
int frame_put_texts(buffer *out, const char *const *texts);

/* Appends events to those of a batch: their names to `names`, the rest to `events`, until BATCH_BYTES are reached or
 * the next one doesn't fit into `room` bytes together with all before. Those of no type of `types` are left out, which
 * counts as taken. *taken is how many of the list were, *written how many are now in. CAFE_NOMEM; CAFE_INVALID: an
 * event has a value outside its type. */
typedef struct batch_out {
  buffer *names;
  buffer *events;
  const char *const *types;
  size_t room;
  uint32_t taken;
  uint32_t written;
} batch_out;
int batch_put(batch_out *out, const cafe_stored_event *list, uint32_t count, cafe_err *err);

/* Reads a batch's events into out, which has room for BATCH_EVENTS. Names and bytes lie in the frame's, types are those
 * of `types`. CAFE_INVALID: a count, an index, a name, a key, a version or an order that is wrong; after is where
 * the batch begins. */
int batch_read(cafe_stored_event *out, const frame *f, const char *const *types, uint32_t type_count, uint64_t after,
               uint32_t shard, cafe_err *err);

#endif
