/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAFE_SYS_STORE_H
#define CAFE_SYS_STORE_H

#include "cafe/node.h"
#include "cafe/schema.h"

CAFE_BEGIN_DECLS

/*
 * The store: one log of events, rows in tables, clients' keys, checkpoints; all that a unit writes is written together
 * or not at all. What every backend promises:
 *
 *  1. A unit is atomic. Its events and rows lie in one partition; a client's key, checkpoints and rows of a table that
 *     is CAFE_TABLE_ANYWHERE may ride in it.
 *  2. An event names its version, a row the version it replaces. A unit that finds another one there conflicts, alone:
 *     the other units of its batch are not touched by it. Units of a batch see the units before them: versions and
 *     checkpoints may follow one another, and where one conflicts, those that name what it would have left do too.
 *  3. Positions in a shard start at 1 and have no gaps; a reader sees a prefix of the log, whatever is being committed.
 *  4. log_id is random, made with the store, renewed by a restore; the store's own checkpoints on its log move along.
 *  5. When commit returns CAFE_OK, all units of the batch that say CAFE_UNIT_DONE survive kill -9 and power loss
 *     (tier durable).
 *  6. Event rows carry a checksum, verified on every read: damage is CAFE_CORRUPT, with the position named. A tail torn
 *     by power loss is recovered. Damage elsewhere is refused at open or at the read, never skipped.
 *  7. Tables are real ones (tier inspectable): events, client_keys, checkpoints, and each setup table under its name,
 *     with a column per field; text is TEXT, ENUM is its name as TEXT, BYTES is BLOB, the rest INTEGER.
 *  8. Migrations are the backend's own, transactional, at open; a newer schema is CAFE_UNSUPPORTED, a file that isn't
 *     ours CAFE_INVALID, one that another process holds CAFE_DENIED with the holder's name.
 *
 * Methods block. The node calls those that write (commit, forget_keys, make_shadow, drop_shadow, replace) on the write
 * lane and those that read (backup, too) on the read lane (sys/loop.h): one that writes and one that reads may run at
 * the same time, two of the same lane never. Each other one says where it is called. A backend with `is_inline` doesn't
 * block: all its methods run on the loop thread.
 *
 * OPTIONAL methods are NULL where a backend doesn't have them, and lie behind the end of a table that was built before
 * them: whoever calls one looks at `size` first.
 *
 * Some structs stand in arrays or in other structs, so that they can't grow. They end with `reserved`: zeroed by
 * whoever makes them, which for what a store hands out is the store; whoever is handed one ignores what it finds there.
 *
 * The library's own: memory.h (tier core), sqlite.h (core, durable, inspectable). testing/store_contract.h holds the
 * suite that says whether a backend is one.
 */

typedef enum cafe_table_flag {
  CAFE_TABLE_ANYWHERE = 1 /* its rows ride in units of any partition: what is checked of them is their version alone */
} cafe_table_flag;

/* One table. BORROW, with all that it points to: while methods other than open and destroy may be called. Neither of
 * those looks at the tables of the time before: who described them may be gone. Fields may be added at the end. */
typedef struct cafe_table {
  const char *name;
  const char *key_name;       /* the column of the key */
  const char *sub_name;       /* the second key column, or NULL: then sub is 0 */
  const cafe_schema *row;     /* the other columns */
  const char *const *indexes; /* columns of row with an index, ended by NULL; or NULL */
  bool is_loaded;             /* its rows come with cafe_store_ops.load */
  uint64_t flags;             /* cafe_table_flag */
} cafe_table;

typedef struct cafe_store_setup {
  size_t size;
  const char *owner;               /* who opens it, for a lock's message */
  const cafe_table *const *tables; /* ended by NULL */
} cafe_store_setup;

/* What the store turns out to be: only open can know, since it may be written in a database. The caller sets size. */
typedef struct cafe_store_info {
  size_t size;
  uint64_t log_id;
  uint32_t shards;     /* of the log, at least 1; the shard of a unit is cafe_partition(key) mod shards */
  uint32_t partitions; /* what the store was made with: CAFE_PARTITIONS, or open refuses it */
  int64_t restored_ms; /* UTC: when it was last made from a backup; 0: never */
  /* Logs that a restore made this one from: up to that position, in each, it is the same as they were. BORROW: while
   * methods other than open and destroy may be called. */
  const cafe_position *origins;
  uint32_t origin_count;
} cafe_store_info;

#define CAFE_STORE_INFO_INIT                                                                                           \
  { sizeof(cafe_store_info), 0, 0, 0, 0, NULL, 0 }

/* An event to append, or as it was stored. BORROW: the unit's arena, or until the sink returns. */
typedef struct cafe_stored_event {
  const char *aggregate; /* with NUL */
  const char *type;      /* with NUL */
  uint64_t key;
  uint64_t version;
  int64_t time_ms;
  cafe_slice trace;
  cafe_slice data; /* msgpack */
  uint32_t shard;  /* set by the store */
  uint64_t n;      /* position in the shard, set by the store */
  cafe_slice meta; /* bytes beside the event, mostly none: stored and given back as they are, whatever they say */
  uint64_t reserved[2];
} cafe_stored_event;

typedef struct cafe_row_write {
  const cafe_table *table;
  uint64_t key; /* in the unit's partition, or the table is CAFE_TABLE_ANYWHERE */
  uint64_t sub;
  uint64_t expected; /* the row's version before: 0 there is none. It becomes expected + 1 */
  const void *data;  /* the struct of table->row; NULL removes the row, expected is then above 0 */
  uint64_t reserved[2];
} cafe_row_write;

typedef enum cafe_key_mode {
  CAFE_KEY_CLAIM = 1, /* insert; conflicts if the key is there */
  CAFE_KEY_REPLY = 2, /* set the reply of a key that is there; nothing if it is gone */
  CAFE_KEY_BOTH = 3   /* insert with the reply */
} cafe_key_mode;

typedef struct cafe_key_write {
  cafe_key_mode mode;
  cafe_slice scope;
  cafe_slice key;
  cafe_slice fingerprint; /* CLAIM, BOTH */
  uint64_t stream_key;    /* CLAIM, BOTH: what it was used for */
  uint64_t replaces;      /* CLAIM, BOTH: 0, or the stream_key that the key holds now, without a reply, and that came to
                             nothing: it is taken over; any other holder conflicts */
  cafe_slice reply;       /* REPLY, BOTH */
  int64_t time_ms;        /* UTC; the last write's is the key's, for retention */
  uint64_t reserved[2];
} cafe_key_write;

/* A client's key as stored. found is false where there is none. */
typedef struct cafe_key_record {
  bool found;
  bool same_request; /* the fingerprints are equal, byte by byte */
  bool has_reply;
  uint64_t stream_key;
  cafe_slice reply; /* in the arena that was handed in */
  uint64_t reserved[2];
} cafe_key_record;

/* Moves a checkpoint by compare-and-set. */
typedef struct cafe_checkpoint {
  const char *subscription;
  uint64_t log_id;   /* of the source */
  uint32_t shard;    /* of the source */
  int32_t partition; /* of the source; -1: all of them, up to n */
  uint64_t expected; /* 0: there is none */
  uint64_t n;
  uint64_t reserved[2];
} cafe_checkpoint;

typedef enum cafe_unit_result {
  CAFE_UNIT_OPEN = 0,
  CAFE_UNIT_DONE = 1,
  CAFE_UNIT_STREAM_CONFLICT = 2,
  CAFE_UNIT_ROW_CONFLICT = 3,
  CAFE_UNIT_KEY_CONFLICT = 4, /* key_found then tells what is there */
  CAFE_UNIT_CHECKPOINT_CONFLICT = 5,
  CAFE_UNIT_LEASE_LOST = 6
} cafe_unit_result;

/* What is written together. All events and rows have keys of one partition, that of `key`, but for rows of tables that
 * are CAFE_TABLE_ANYWHERE. BORROW: until the batch is done. */
typedef struct cafe_unit {
  size_t size;
  uint64_t key;
  /* A stream's events follow each other; the first one's version - 1 is what must be there. */
  cafe_stored_event *events;
  uint32_t event_count;
  uint32_t row_count;
  const cafe_row_write *rows;       /* a row at most once */
  const cafe_key_write *client_key; /* or NULL */
  const cafe_checkpoint *checkpoints;
  uint32_t checkpoint_count;
  uint32_t lease; /* a number, 0: none; shared stores only */
  uint64_t lease_epoch;

  cafe_unit_result result;   /* set by the store */
  cafe_key_record key_found; /* set with CAFE_UNIT_KEY_CONFLICT */
} cafe_unit;

typedef struct cafe_batch {
  size_t size;
  cafe_unit *const *units; /* in the order in which they were decided */
  uint32_t unit_count;
  cafe_arena *arena; /* for what the store sets; the commit's alone while it runs */
} cafe_batch;

/* Called for each thing read. Returns CAFE_OK, or a code that ends the read with it. */
typedef int (*cafe_event_sink)(const cafe_stored_event *event, void *user);
typedef int (*cafe_row_sink)(const cafe_table *table, uint64_t key, uint64_t sub, uint64_t version, const void *data,
                             void *user);
typedef int (*cafe_checkpoint_sink)(const cafe_checkpoint *checkpoint, void *user);

typedef struct cafe_log_query {
  size_t size;
  uint32_t shard;
  uint64_t after;           /* n, exclusive */
  uint32_t limit;           /* events handed to the sink */
  const char *const *types; /* only these, ended by NULL; NULL: all */
  uint64_t scanned;         /* set: everything up to this n was seen, wanted or not */
  uint64_t head;            /* set: the shard's last n at the time of the read */
} cafe_log_query;

/* Events, and the rows of their keys. */
typedef struct cafe_change_query {
  size_t size;
  cafe_log_query *log;
  uint64_t until; /* no event behind this position; log->scanned is at most that */
  const cafe_table *table;
  const uint64_t *keys; /* whose rows are wanted, ascending, each once: on_event may add to them */
  uint32_t key_count;
} cafe_change_query;

typedef struct cafe_condition {
  int column;       /* index in the row's schema; -1: key, -2: sub */
  bool at_most;     /* column <= value, else column = value */
  cafe_value value; /* number; bytes for TEXT; ENUM by number */
  uint64_t reserved[2];
} cafe_condition;

typedef struct cafe_row_query {
  size_t size;
  const cafe_table *table;
  const cafe_condition *conditions;
  uint32_t condition_count;
  uint64_t after_key; /* exclusive, with after_sub */
  uint64_t after_sub;
  int order_by; /* -1: by key and sub; else by this column, then key; after_* must be 0 then */
  uint32_t limit;
} cafe_row_query;

/* A backup that is under way. The caller's memory, zeroed but for size and path. Fields may be added at the end. */
typedef struct cafe_backup {
  size_t size;
  const char *path; /* of the file to be made. BORROW: until it is over */
  bool is_done;     /* set: the file is there, whole and durable */
  void *store_data; /* the store's own; NULL: it hasn't begun, or is over */
} cafe_backup;

/* What is to be forgotten, and how far that got. The caller's memory, zeroed but for size and before_ms. Fields may be
 * added at the end. */
typedef struct cafe_forget {
  size_t size;
  int64_t before_ms; /* UTC, exclusive */
  uint64_t count;    /* set: deleted so far */
  bool is_done;      /* set: nothing that is as old was found behind the last one */
  uint64_t place;    /* the store's own: where it goes on */
} cafe_forget;

/* A shadow is a table beside one of the setup, with its columns, in which its rows are made anew while it goes on to
 * serve. Its name begins so, and nothing else's does. */
#define CAFE_SHADOW_NAME "cafe_shadow_"

/* A shadow's rows take the place of a table's. BORROW: until the call returns. Fields may be added at the end. */
typedef struct cafe_replacement {
  size_t size;
  const cafe_table *table;          /* of the setup */
  const cafe_table *shadow;         /* made for it */
  const char *const *subscriptions; /* whose checkpoints go, all of them, before the unit is judged; ended by NULL */
  cafe_unit *unit;   /* what is written with it, in neither of the two tables. Its result tells: DONE, or a conflict */
  cafe_arena *arena; /* for what the store sets */
} cafe_replacement;

typedef struct cafe_store_ops {
  size_t size;
  const char *name;
  bool is_inline; /* see above */

  /* REQUIRED. Once, before all others, on the loop thread. Makes or migrates the tables and sets *out, which stays so
   * for as long as there is the store: a number of shards or partitions that isn't the one it was made with would take
   * streams apart. CAFE_UNSUPPORTED: it was made with other partitions. A table whose columns lack a field gets it; one
   * with a column too much is left so. */
  int (*open)(cafe_store *self, cafe_store_info *out, const cafe_store_setup *setup, cafe_err *err);

  /* REQUIRED. One durable write. CAFE_OK: each unit's result is set. A failure: nothing of the batch is written, or, if
   * that can't be known (CAFE_UNAVAILABLE after an error while syncing), the store refuses all further calls with
   * CAFE_UNAVAILABLE until it is opened anew. */
  int (*commit)(cafe_store *self, cafe_batch *batch, cafe_err *err);

  /* REQUIRED. Everything of one key: its events, of all streams, in the order of their positions; then its rows of the
   * tables that are is_loaded. One snapshot. */
  int (*load)(cafe_store *self, uint64_t key, cafe_event_sink on_event, cafe_row_sink on_row, void *user,
              cafe_err *err);

  /* REQUIRED. Events of a shard after a position, in order. CAFE_INVALID beyond the head. */
  int (*read_log)(cafe_store *self, cafe_log_query *query, cafe_event_sink on_event, void *user, cafe_err *err);

  /* REQUIRED. Rows of a table. */
  int (*read_rows)(cafe_store *self, const cafe_row_query *query, cafe_row_sink on_row, void *user, cafe_err *err);

  /* REQUIRED. A client's key; the reply is copied into the arena. */
  int (*read_key)(cafe_store *self, cafe_key_record *out, cafe_slice scope, cafe_slice key, cafe_slice fingerprint,
                  cafe_arena *arena, cafe_err *err);

  /* REQUIRED. All checkpoints of a subscription. */
  int (*read_checkpoints)(cafe_store *self, const char *subscription, cafe_checkpoint_sink on_checkpoint, void *user,
                          cafe_err *err);

  /* REQUIRED. The loop thread. Closes and frees it. No method is running, and no backup under way. */
  void (*destroy)(cafe_store *self);

  /* OPTIONAL. The read lane. In one snapshot: events as read_log gives them, then the rows of the keys that are wanted
   * by then, ascending by key and sub. CAFE_INVALID as read_log says, or the table is unknown. Without it the node
   * reads the log, and after it the rows, key by key. */
  int (*read_changes)(cafe_store *self, cafe_change_query *query, cafe_event_sink on_event, cafe_row_sink on_row,
                      void *user, cafe_err *err);

  /* OPTIONAL. The loop thread, also while other methods run; doesn't block. Whether it refuses all calls until it is
   * opened anew, as commit says. Without it nobody is told that waiting is in vain. */
  bool (*is_lost)(const cafe_store *self);

  /* OPTIONAL, with end_backup. The read lane. Makes a copy of everything as of one commit, no older than the last one
   * before the first call, in a file that a restore reads. Each call does a piece of it, of some milliseconds, until
   * is_done; other methods run in between. The file has its name only when it is whole and durable. A failure: it is
   * over, and nothing of it is left. CAFE_INVALID: there is a file of that name, or none can be; CAFE_UNAVAILABLE: it
   * can't be written; CAFE_CORRUPT: the store is damaged. */
  int (*backup)(cafe_store *self, cafe_backup *backup, cafe_err *err);

  /* OPTIONAL, with backup. Ends one that isn't over: nothing of it is left. Harmless where it is. The read lane or the
   * loop thread, also while other methods run, but never while the backup's own does. */
  void (*end_backup)(cafe_store *self, cafe_backup *backup);

  /* OPTIONAL. The write lane. Deletes clients' keys whose time is before forget->before_ms, a small batch in each call,
   * in one durable write as commit's, until is_done. A call needn't look at more than it deletes and some thousands:
   * keys are met about in the order of their times, and one that was passed over is met the next time. Fails as commit
   * does, and leaves *forget as it was. */
  int (*forget_keys)(cafe_store *self, cafe_forget *forget, cafe_err *err);

  /* OPTIONAL, the three on shadows together: without them no view can be rebuilt or verified. The write lane. Makes a
   * shadow of a table of the setup, without rows; one that is there under its name goes. Two of one table may be there
   * at a time. It has the table's key, sub and row, and may have other indexes. commit and read_rows take it as one of
   * the setup's, load doesn't know it. shadow BORROW: until it is dropped, or has replaced the table, or as the
   * setup's. open drops all that a crash has left. CAFE_INVALID: `of` isn't in the setup, or has other columns. A
   * failure, as commit's: there is none of that name, or the one of before, which isn't used. */
  int (*make_shadow)(cafe_store *self, const cafe_table *shadow, const cafe_table *of, cafe_err *err);

  /* OPTIONAL, as above. The write lane. Drops a shadow with its rows; nothing where there is none of that name. After a
   * failure it isn't used either: it goes when one of its name is made, or at the next open. */
  int (*drop_shadow)(cafe_store *self, const cafe_table *shadow, cafe_err *err);

  /* OPTIONAL, as above. The write lane. In one durable transaction: the table has the shadow's rows and no others, with
   * their versions; the shadow is gone; the checkpoints of the subscriptions are gone; the unit is written. CAFE_OK:
   * the unit's result is set, and where it isn't CAFE_UNIT_DONE nothing of all that has happened, and the shadow is
   * still there. A failure: as with commit, and the shadow is still there if the table wasn't replaced. Readers see the
   * one or the other, whole. */
  int (*replace)(cafe_store *self, const cafe_replacement *what, cafe_err *err);
} cafe_store_ops;

/* A backend embeds this first, and zeroes it when it is made. */
struct cafe_store {
  const cafe_store_ops *ops;
  void *reserved[4]; /* the library's own */
};

CAFE_END_DECLS

#endif
