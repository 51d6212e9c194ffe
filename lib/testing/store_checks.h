/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTING_STORE_CHECKS_H
#define TESTING_STORE_CHECKS_H

#include <setjmp.h>

#include "cafe/testing/store_contract.h"

/*
 * What the checks of all tiers share. A check is a function that returns if the store kept its promise. check_fail and
 * CHECK leave it by longjmp, so a check holds nothing that needs freeing: stores belong to the store_check, memory
 * comes from its arena. A sink must not CHECK: it runs inside the store.
 */

/* A client key that a batch of the check named. */
typedef struct check_key_name {
  struct check_key_name *next;
  cafe_slice scope;
  cafe_slice key;
  cafe_slice fingerprint;
} check_key_name;

typedef struct store_check {
  const cafe_store_contract *contract;
  cafe_arena *arena;         /* lives as long as the check; never fails: check_alloc leaves the check instead */
  cafe_arena *spare;         /* batches' own, if it isn't NULL; destroyed at the end */
  cafe_store *store;         /* destroyed at the end */
  cafe_store *rival;         /* destroyed at the end */
  cafe_store_info info;      /* of the last open */
  cafe_err err;              /* for every call */
  check_key_name *key_names; /* client keys that were committed; check_dump looks them up */
  uint64_t last_key;         /* of check_new_key */
  const char *where;         /* what is being tried, for the message; NULL */
  char *why;
  jmp_buf *leave;
} store_check;

typedef struct store_check_entry {
  const char *name; /* NULL ends a list */
  void (*run)(store_check *check);
  bool needs_allocator; /* only where contract->takes_allocator */
  bool needs_threads;   /* only where the store isn't is_inline */
} store_check_entry;

/* Tier core by subject, then the other tiers. */
extern const store_check_entry store_checks_units[];
extern const store_check_entry store_checks_log[];
extern const store_check_entry store_checks_turns[];
extern const store_check_entry store_checks_rows[];
extern const store_check_entry store_checks_change[];
extern const store_check_entry store_checks_keys[];
extern const store_check_entry store_checks_faults[];
extern const store_check_entry store_checks_shadows[];
extern const store_check_entry store_checks_durable[];
extern const store_check_entry store_checks_shadows_durable[];
extern const store_check_entry store_checks_inspectable[];
extern const store_check_entry store_checks_backup[];

#if defined(__GNUC__)
#define CHECK_NORETURN __attribute__((noreturn))
#else
#define CHECK_NORETURN
#endif

/* Whether accidents are to be tried in all ways, by CAFE_FULL in the environment. */
bool check_is_full(void);

/* Ends the check as failed. */
CHECK_NORETURN void check_fail(store_check *check, int line, const char *format, ...) CAFE_PRINTF(3, 4);

/* The store kept its promise, or the message says which it broke. */
#define CHECK(check, kept, ...)                                                                                        \
  do {                                                                                                                 \
    if (!(kept))                                                                                                       \
      check_fail((check), __LINE__, __VA_ARGS__);                                                                      \
  } while (0)

/* A call that has to succeed; its cafe_err must be &check->err. */
#define CHECK_OK(check, call) check_code((check), __LINE__, #call, (call), CAFE_OK)
/* A call that has to fail with this code, and to say why. */
#define CHECK_CODE(check, call, wanted) check_code((check), __LINE__, #call, (call), (wanted))
void check_code(store_check *check, int line, const char *call, int code, int wanted);

/* Zeroed memory until the check ends, or check_forget. */
void *check_alloc(store_check *check, size_t size);
/* Gives back all memory of the check: what it made and read is gone, the stores aren't. */
void check_forget(store_check *check);
cafe_slice check_text(store_check *check, const char *format, ...) CAFE_PRINTF(2, 3);
/* `size` bytes, different for each seed, with zeros among them. */
cafe_slice check_bytes(store_check *check, size_t size, uint32_t seed);

/*
 * The tables of the suite.
 */
typedef enum check_state { CHECK_STATE_NONE = 0, CHECK_STATE_OPEN = 1, CHECK_STATE_DONE = 2 } check_state;

/* check_lines(order_id, line): one column of each type; comes with load. Indexes on number and text. */
typedef struct check_line {
  bool flag;
  int64_t number;
  uint64_t count;
  int32_t state; /* check_state: "None", "Open", "Done" */
  cafe_slice text;
  cafe_slice blob;
  int64_t at_ms;
} check_line;

enum { LINE_FLAG, LINE_NUMBER, LINE_COUNT, LINE_STATE, LINE_TEXT, LINE_BLOB, LINE_AT_MS };

/* check_notes(note_id): no second key, doesn't come with load, lies in units of any partition. */
typedef struct check_note {
  cafe_slice text;
  int64_t number;
} check_note;

extern const cafe_table check_lines;
extern const cafe_table check_notes;
extern const cafe_store_setup check_setup; /* both tables, owner "contract" */
/* The same tables as a later version has them: columns added, members in another order. */
extern const cafe_store_setup check_newer_setup;

/*
 * Stores.
 */

/* A new store without data, opened with check_setup. What the check had is destroyed. */
void check_begin(store_check *check);
/* The same with an allocator, not opened. */
void check_create(store_check *check, const cafe_allocator *allocator);
/* Opens check->store. */
void check_open(store_check *check, const cafe_store_setup *setup);
/* Ends the store, gets it back and opens it with check_setup. */
void check_restart(store_check *check, cafe_store_ending ending, uint64_t seed);

/*
 * Units.
 */

/* A key that this check hasn't used, of shard 0. */
uint64_t check_new_key(store_check *check);
/* The next one after `key` in the same partition. */
uint64_t check_neighbour(uint64_t key);

enum { CHECK_UNIT_EVENTS = 64, CHECK_UNIT_ROWS = 64, CHECK_UNIT_CHECKPOINTS = 64 };

typedef struct check_unit {
  cafe_unit unit;
  cafe_stored_event events[CHECK_UNIT_EVENTS];
  cafe_row_write rows[CHECK_UNIT_ROWS];
  cafe_key_write client_key;
  cafe_checkpoint checkpoints[CHECK_UNIT_CHECKPOINTS];
} check_unit;

check_unit *unit_new(store_check *check, uint64_t key);
/* Adds an event of aggregate "cup" whose data tells key and version. */
void unit_event(store_check *check, check_unit *unit, uint64_t version);
/* Adds any event. */
void unit_append(store_check *check, check_unit *unit, const char *aggregate, uint64_t version, const char *type,
                 cafe_slice data);
/* Adds a row of the unit's key; data NULL removes it. */
void unit_row(store_check *check, check_unit *unit, const cafe_table *table, uint64_t sub, uint64_t expected,
              const void *data);
/* A row of check_lines whose columns are made from seed. */
const check_line *check_line_of(store_check *check, uint32_t seed);
void unit_line(store_check *check, check_unit *unit, uint64_t sub, uint64_t expected, uint32_t seed);
/* Scope is "PUT /check" unless changed afterwards; stream_key is the unit's. */
void unit_key(store_check *check, check_unit *unit, cafe_key_mode mode, cafe_slice key, cafe_slice fingerprint,
              cafe_slice reply);
/* Of source log 77, shard 0, unless changed afterwards. The subscription is one of "check-a", "check-ab", "check-b". */
void unit_checkpoint(store_check *check, check_unit *unit, const char *subscription, int32_t partition,
                     uint64_t expected, uint64_t n);

/* Commits units as one batch: the code. Results are OPEN before. */
int check_try(store_check *check, check_unit *const *units, uint32_t count);
/* The batch has to succeed, and each unit with the result that its `wanted` names. */
void check_commit(store_check *check, check_unit *const *units, const cafe_unit_result *wanted, uint32_t count);
/* One unit in a batch of its own, with this result. */
void check_one(store_check *check, check_unit *unit, cafe_unit_result wanted);

/*
 * Reading. All copied into the arena.
 */
typedef struct check_row {
  uint64_t key;
  uint64_t sub;
  uint64_t version;
  const cafe_table *table;
  const void *data;
} check_row;

typedef struct check_found {
  store_check *check;
  int stop_after; /* the sink returns stop_code after so many things; 0: never */
  int stop_code;
  cafe_stored_event *events;
  uint32_t event_count;
  check_row *rows;
  uint32_t row_count;
  cafe_checkpoint *checkpoints;
  uint32_t checkpoint_count;
  uint32_t events_room, rows_room, checkpoints_room;
  bool mixed; /* an event came after a row */
  bool no_memory;
} check_found;

int check_event_sink(const cafe_stored_event *event, void *found);
int check_row_sink(const cafe_table *table, uint64_t key, uint64_t sub, uint64_t version, const void *data,
                   void *found);
int check_checkpoint_sink(const cafe_checkpoint *checkpoint, void *found);

/* These have to succeed. */
check_found *check_load(store_check *check, uint64_t key);
/* The whole log of a shard, read in pieces of `limit` wanted events; that it makes progress is checked. */
check_found *check_log(store_check *check, uint32_t shard, const char *const *types, uint32_t limit);
check_found *check_rows(store_check *check, const cafe_row_query *query);
check_found *check_checkpoints(store_check *check, const char *subscription);
/* In scope "PUT /check". */
cafe_key_record check_key(store_check *check, cafe_slice key, cafe_slice fingerprint);
check_found *found_new(store_check *check);

/* Whether the rows of check_lines are equal, column by column. */
bool check_lines_equal(const check_line *a, const check_line *b);

enum { CHECK_KEYS = 5, CHECK_LINES = 20 };
/* A new store with twenty rows of check_lines over five keys, full of values that are easily mistaken for each other.
 * Gives them in the order of their keys, once they were found to be what was written. */
const check_found *check_begin_lines(store_check *check, uint64_t keys[CHECK_KEYS]);
/* A query for all rows of check_lines. */
cafe_row_query check_all_lines(void);

/* Everything that the store holds of what this check can have written, as text with a line each: events by shard and
 * position, rows of both tables, checkpoints, client keys. Two stores that hold the same give the same text. */
cafe_slice check_dump(store_check *check);
/* Both have to be equal; the message names the first line that differs. */
void check_same(store_check *check, int line, cafe_slice before, cafe_slice after, const char *what);
#define CHECK_SAME(check, before, after, what) check_same((check), __LINE__, (before), (after), (what))

/* An allocator that refuses allocation n, counted from 1 at arming; 0: none. */
typedef struct check_allocator {
  cafe_allocator allocator;
  uint64_t calls; /* since arming */
  uint64_t fail_at;
  bool refused;    /* since arming */
  uint64_t blocks; /* not freed */
} check_allocator;

void check_allocator_init(check_allocator *out);
void check_allocator_arm(check_allocator *allocator, uint64_t n);

#endif
