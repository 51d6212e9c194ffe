/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STORE_SQLITE_STORE_H
#define STORE_SQLITE_STORE_H

#include <sqlite3.h>
#include <stdatomic.h>

#include "base/map.h"
#include "cafe/store/sqlite.h"
#include "cafe/sys/store.h"
#include "store/store.h"

/*
 * The SQLite store's own structures. Its files, in the order in which a store lives:
 *
 *   sqlite.c           the constructor, the table of methods, opening and closing
 *   sqlite_lock.c      one node per file, and what that node was told is durable
 *   sqlite_wal.c       is the WAL that a crash left whole?
 *   sqlite_pages.c     a checksum on each page
 *   sqlite_schema.c    tables: made, and migrated
 *   sqlite_sql.c       a table as SQL
 *   sqlite_row.c       a struct to a statement, a statement's row to a struct
 *   sqlite_commit.c    the write lane: a batch's transaction
 *   sqlite_judge.c     which of its units may pass
 *   sqlite_known.c     what the write lane knows of versions without asking
 *   sqlite_shadow.c    tables that are made anew beside the ones that serve, and take their place
 *   sqlite_read.c      the read lane
 *   sqlite_checksum.c  of an event
 *   sqlite_forget.c    the write lane: clients' keys after their time
 *   sqlite_backup.c    a copy of the file while it is used
 *   sqlite_restore.c   a store from such a copy
 */

enum {
  FILE_APPLICATION_ID = 0x63616665,   /* "cafe", in the file's header */
  BACKUP_APPLICATION_ID = 0x63616662, /* "cafb": nobody takes a backup for a store */
  FILE_SCHEMA_VERSION = 2,            /* PRAGMA user_version: of the tables that every store has; 1 was before 0.1 */
  FILE_PAGE_SIZE = 4096,
  FILE_PAGE_RESERVED = 8, /* bytes at its end, for its checksum */
  WAL_PAGES = 4000,       /* a longer WAL is copied into the file, by the writer, after a commit */
  FILE_BUSY_MS = 5000     /* for another program that writes or copies */
};

/* What was acknowledged, as the lock file tells it (sqlite_lock.c). */
typedef struct sqlite_witness {
  bool is_relaxed;      /* the writer didn't sync each commit: the rest is 0 and the WAL may end anywhere */
  uint64_t log_id;      /* 0: nothing is told */
  uint64_t head;        /* the log's last position */
  uint32_t salt[2];     /* which WAL */
  uint32_t frames;      /* of it; 0: none */
  uint32_t checksum[2]; /* of the last of these */
} sqlite_witness;

typedef struct sqlite_lock {
  int fd; /* -1: not held */
  char *path;
  bool is_blank; /* nobody has left anything in it */
} sqlite_lock;

typedef enum sqlite_row_statement {
  ROW_VERSION, /* the writer's, but for the last */
  ROW_INSERT,
  ROW_UPDATE,
  ROW_KEEP, /* an update that leaves the columns with an index as they are; none if they aren't */
  ROW_REMOVE,
  ROW_LOAD,
  ROW_STATEMENTS
} sqlite_row_statement;

/* A setup table or a shadow, and its statements. Those of the writer and of the reader are touched on their own lanes
 * only. */
typedef struct sqlite_table {
  const cafe_table *_Atomic table; /* of a shadow: set and taken away on the write lane; NULL: the place is free */
  sqlite3_stmt *statements[ROW_STATEMENTS]; /* a shadow has none of the reader's */
} sqlite_table;

typedef enum sqlite_writer_statement {
  WRITER_BEGIN,
  WRITER_COMMIT,
  WRITER_ROLLBACK,
  WRITER_DATA_VERSION,
  WRITER_HEAD,
  WRITER_STREAM,
  WRITER_EVENT,
  WRITER_EVENTS_4,
  WRITER_EVENTS_16,
  WRITER_KEY_FIND,
  WRITER_KEY_INSERT,
  WRITER_KEY_TAKE,
  WRITER_KEY_REPLY,
  WRITER_CHECKPOINT_FIND,
  WRITER_CHECKPOINT_PUT,
  WRITER_STATEMENTS
} sqlite_writer_statement;

typedef enum sqlite_reader_statement {
  READER_BEGIN,
  READER_END,
  READER_HEAD,
  READER_STREAMS,
  READER_LOG,
  READER_KEY,
  READER_CHECKPOINTS,
  READER_STATEMENTS
} sqlite_reader_statement;

enum { LISTS_KEPT = 32 }; /* shapes of row queries that keep their statement */

/* A row query's statement, found again by its text. */
typedef struct sqlite_list {
  char *sql;
  sqlite3_stmt *statement;
} sqlite_list;

typedef struct sqlite_known sqlite_known;
typedef struct sqlite_pages sqlite_pages;

typedef struct sqlite_store {
  cafe_store base;
  cafe_allocator allocator;
  cafe_sqlite_sync sync;
  uint32_t cache_kib;
  char *vfs_name; /* NULL: SQLite's default */
  char *path;     /* as it was given, for messages */

  bool is_open;
  atomic_bool refuses; /* a commit's outcome isn't known: only a new open can tell */
  char *file;          /* the path with links resolved */
  uint64_t log_id;
  int64_t restored_ms;
  cafe_position *origins;
  uint32_t origin_count;
  sqlite_lock lock;
  sqlite_pages *pages;
  sqlite_table *tables;
  uint32_t table_count; /* of the setup */
  uint32_t place_count; /* with the places for shadows, behind those */

  sqlite3 *writer;
  sqlite3_stmt *writer_statements[WRITER_STATEMENTS];
  uint64_t head;        /* the log's last position, with what the batch has added */
  int64_t data_version; /* of the file; another one tells that somebody else wrote */
  uint32_t units;       /* judged so far */
  int wal_frames;       /* after the last commit */
  sqlite_known *known;

  sqlite3 *reader;
  sqlite3_stmt *reader_statements[READER_STATEMENTS];
  sqlite_list lists[LISTS_KEPT];
  uint32_t next_list;
  void *row; /* for one row of any table */
} sqlite_store;

/* ---- sqlite.c ---- */

void *sqlite_alloc(const sqlite_store *store, size_t size); /* zeroed; NULL: no memory */
void sqlite_free(const sqlite_store *store, void *memory);
char *sqlite_copy_text(const sqlite_store *store, const char *text);
int sqlite_no_memory(cafe_err *err);

/* The reaction to one of SQLite's codes. */
cafe_code sqlite_reaction(int sqlite_code);
/* Describes the connection's last failure. `doing` completes "SQLite failed while …". */
int sqlite_fail(const sqlite_store *store, sqlite3 *db, cafe_err *err, const char *doing);
/* The path's end, where it is too long for a message. */
const char *sqlite_short(const char *path);

/* Prepares the statement on its first use. */
int sqlite_prepare(const sqlite_store *store, sqlite3 *db, sqlite3_stmt **kept, const char *sql, cafe_err *err);
/* sqlite3_step for whatever may begin a transaction: patient with others who do so. */
int sqlite_step(sqlite3_stmt *statement);
/* Runs SQL that returns nothing of interest. */
int sqlite_exec(const sqlite_store *store, sqlite3 *db, const char *sql, cafe_err *err);
/* The integer that a query's first row begins with; *found is false without a row. */
int sqlite_number(const sqlite_store *store, sqlite3 *db, const char *sql, int64_t *out, bool *found, cafe_err *err);

/* Where the store's file is, with links resolved. */
int sqlite_find_file(sqlite_store *store, cafe_err *err);
/* A connection to the store's file, by sqlite_pages.c. On failure *db may be set, to be closed. */
int sqlite_connect(const sqlite_store *store, sqlite3 **db, int flags, cafe_err *err);
/* Ends the connections. In order: the WAL is copied into the file and goes. Otherwise everything stays as a crash would
 * leave it, if it is a store's at all. */
void sqlite_close_files(sqlite_store *store, bool in_order);

/* ---- sqlite_lock.c ---- */

/* Checks folder and file, takes the lock and reads what the last holder left. CAFE_DENIED names who has it. */
int sqlite_lock_take(sqlite_lock *lock, sqlite_witness *left, const sqlite_store *store, const char *owner,
                     cafe_err *err);
/* From here on: replaces what the last holder left. Synced if is_durable. */
int sqlite_lock_write(sqlite_lock *lock, const sqlite_store *store, const sqlite_witness *witness, bool is_durable,
                      cafe_err *err);
/* remove: nothing is left to tell. A blank one goes in any case. */
void sqlite_lock_release(sqlite_lock *lock, const sqlite_store *store, bool remove);
/* Makes what its folder says of the file durable. errno tells a failure. */
int sqlite_sync_folder(const sqlite_store *store, const char *file);
/* Whether a file system of this type (statfs) is on another machine. */
bool sqlite_is_remote(unsigned long type);

/* ---- sqlite_schema.c ---- */

/* Whose file it is, and whether there is a schema at all yet. Gives log_id if there is. Writes nothing. */
int sqlite_schema_identify(sqlite_store *store, bool *is_new, cafe_err *err);
/* Makes or migrates the tables. */
int sqlite_schema_open(sqlite_store *store, const cafe_store_setup *setup, bool is_new, cafe_err *err);
/* Where a table of the setup, or a shadow, has its statements; NULL: the store doesn't know it. */
sqlite_table *sqlite_find_table(const sqlite_store *store, const cafe_table *table);
int sqlite_unknown_table(const cafe_table *table, cafe_err *err);
static inline bool sqlite_is_shadow(const sqlite_store *store, const sqlite_table *table) {
  return table >= store->tables + store->table_count;
}
/* Makes those of the table's indexes that it lacks. They are named after the table `of`, which is the same, or which it
 * is to replace. */
int sqlite_make_indexes(sqlite_store *store, const cafe_table *table, const char *of, cafe_err *err);
/* Runs SQL on the writer and frees it. NULL: no memory. */
int sqlite_exec_own(sqlite_store *store, char *sql, cafe_err *err);

/* ---- sqlite_sql.c ---- */

extern const char sqlite_version_name[]; /* of the column */
const char *sqlite_column_type(const cafe_field *field);
/* Its definition. */
void sqlite_append_column(sqlite3_str *sql, const cafe_field *field);
/* A statement for rows of the table, prepared on its first use. */
int sqlite_row_statement_of(const sqlite_store *store, sqlite3 *db, sqlite_table *table, sqlite_row_statement which,
                            sqlite3_stmt **out, cafe_err *err);
/* Text of SQL, by sqlite3_free. NULL: no memory. */
char *sqlite_sql_list(const cafe_row_query *query);
char *sqlite_sql_create(const cafe_table *table);

/* ---- sqlite_row.c ---- */

/* A text that may be empty, and then isn't NULL. */
int sqlite_bind_text(sqlite3_stmt *statement, int place, cafe_slice text);
int sqlite_bind_blob(sqlite3_stmt *statement, int place, cafe_slice bytes);
cafe_slice sqlite_column_slice(sqlite3_stmt *statement, int column);
/* The value as a parameter. CAFE_INVALID: not of its type. */
int sqlite_bind_value(sqlite3_stmt *statement, int place, const cafe_field *field, const cafe_value *value,
                      cafe_err *err);
/* key, sub, version (from place 1) and the struct's fields. */
int sqlite_bind_row(sqlite3_stmt *statement, const cafe_table *table, uint64_t key, uint64_t sub, uint64_t version,
                    const void *data, cafe_err *err);
/* The row that the statement stands on, columns as sqlite_sql_load has them. Its texts BORROW from the statement. */
int sqlite_read_row(const sqlite_store *store, uint64_t *key, uint64_t *sub, uint64_t *version, void *data,
                    sqlite3_stmt *statement, const cafe_table *table, cafe_err *err);

/* ---- sqlite_checksum.c ---- */

/* Of an event row. */
uint32_t sqlite_checksum(const cafe_stored_event *event);
uint32_t sqlite_checksum_bytes(const void *bytes, size_t size);
/* The same where the processor has no instruction for it. */
uint32_t sqlite_checksum_by_tables(const void *bytes, size_t size);
/* The WAL's: goes on from sums over size bytes, a multiple of 8. */
void sqlite_sums(uint32_t sums[2], const void *bytes, size_t size, bool big_endian);

/* A number as SQLite's files have it. */
static inline uint32_t sqlite_big(const unsigned char *at) {
  return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* ---- sqlite_wal.c ---- */

/* Before SQLite opens the file: CAFE_CORRUPT if recovery would drop what was acknowledged. */
int sqlite_wal_check(const sqlite_store *store, sqlite3_vfs *vfs, const sqlite_witness *witness, cafe_err *err);

/* ---- sqlite_pages.c ---- */

/* A VFS, registered, that checks the pages of main databases. inner BORROW. NULL: no memory. */
sqlite_pages *sqlite_pages_create(sqlite3_vfs *inner, const cafe_allocator *allocator);
const char *sqlite_pages_name(const sqlite_pages *pages);
/* No file of it is open. NULL is allowed. */
void sqlite_pages_destroy(sqlite_pages *pages);

/* ---- sqlite_known.c ---- */

typedef enum sqlite_kind { KNOWN_STREAM = 1, KNOWN_ROW = 2, KNOWN_CHECKPOINT = 3 } sqlite_kind;

/* A thing with a version: a stream, a row, a checkpoint. 0: it isn't there. */
typedef struct sqlite_item {
  struct sqlite_item *next;    /* of the same key */
  struct sqlite_item *pending; /* the next one to be written at the batch's end */
  uint64_t sub;
  uint64_t version;      /* as the batch has made it so far */
  uint64_t stored;       /* as the file has it */
  uint64_t unit_version; /* as unit `unit` wants it */
  union {
    const cafe_row_write *row;
    const cafe_checkpoint *checkpoint;
  } write;
  uint32_t unit;
  uint16_t place; /* KNOWN_ROW: the table's; else internal */
  uint8_t kind;
  bool is_guess : 1;   /* nobody looked: a new thing was taken at its word */
  bool is_pending : 1; /* in the list of what the batch writes at its end */
} sqlite_item;

sqlite_known *sqlite_known_create(const cafe_allocator *allocator);
void sqlite_known_destroy(sqlite_known *known);
/* Forgets everything. */
void sqlite_known_clear(sqlite_known *known);
/* Between batches: keeps memory within its bound. */
void sqlite_known_trim(sqlite_known *known);
/* The item, made if need be (*is_new). NULL: no memory. */
sqlite_item *sqlite_known_stream(sqlite_known *known, const char *aggregate, uint64_t key, bool *is_new);
sqlite_item *sqlite_known_row(sqlite_known *known, uint32_t table, uint64_t key, uint64_t sub, bool *is_new);
sqlite_item *sqlite_known_checkpoint(sqlite_known *known, const cafe_checkpoint *checkpoint, bool *is_new);

/* ---- sqlite_commit.c ---- */

int sqlite_commit(cafe_store *self, cafe_batch *batch, cafe_err *err);
/* The same, and with it the replacement; NULL: none. */
int sqlite_write(sqlite_store *store, cafe_batch *batch, const cafe_replacement *replacement, cafe_err *err);
/* A transaction around `write`, for what isn't a batch. */
int sqlite_transact(sqlite_store *store, int (*write)(sqlite_store *store, void *user, cafe_err *err), void *user,
                    cafe_err *err);
/* The writer's connection is open: reads the head. */
int sqlite_writer_begin(sqlite_store *store, cafe_err *err);
/* After a transaction: notes what is durable, and copies a WAL that has grown long. A failure does no harm: less is
 * known after a crash, and the next one does the work. */
void sqlite_testify(sqlite_store *store);

/* ---- sqlite_shadow.c ---- */

int sqlite_make_shadow(cafe_store *self, const cafe_table *shadow, const cafe_table *of, cafe_err *err);
int sqlite_drop_shadow(cafe_store *self, const cafe_table *shadow, cafe_err *err);
int sqlite_replace(cafe_store *self, const cafe_replacement *what, cafe_err *err);
/* At open, in its transaction: those that a crash left. */
int sqlite_drop_shadows(sqlite_store *store, cafe_err *err);
/* The replacement's parts of its transaction, before and after the unit's. */
int sqlite_replace_begin(sqlite_store *store, const cafe_replacement *what, cafe_err *err);
int sqlite_replace_end(sqlite_store *store, const cafe_replacement *what, cafe_err *err);

/* ---- sqlite_read.c ---- */

int sqlite_load(cafe_store *self, uint64_t key, cafe_event_sink on_event, cafe_row_sink on_row, void *user,
                cafe_err *err);
int sqlite_read_log(cafe_store *self, cafe_log_query *query, cafe_event_sink on_event, void *user, cafe_err *err);
int sqlite_read_changes(cafe_store *self, cafe_change_query *query, cafe_event_sink on_event, cafe_row_sink on_row,
                        void *user, cafe_err *err);
int sqlite_read_rows(cafe_store *self, const cafe_row_query *query, cafe_row_sink on_row, void *user, cafe_err *err);
int sqlite_read_key(cafe_store *self, cafe_key_record *out, cafe_slice scope, cafe_slice key, cafe_slice fingerprint,
                    cafe_arena *arena, cafe_err *err);
int sqlite_read_checkpoints(cafe_store *self, const char *subscription, cafe_checkpoint_sink on_checkpoint, void *user,
                            cafe_err *err);

/* Both lanes: CAFE_OK, or why the store can't be used. */
int sqlite_check_usable(const sqlite_store *store, cafe_err *err);
/* What is under a client's key, from columns fingerprint, stream_key, reply of a statement. */
int sqlite_read_key_columns(cafe_key_record *out, sqlite3_stmt *statement, cafe_slice fingerprint, cafe_arena *arena,
                            cafe_err *err);

/* ---- sqlite_forget.c ---- */

int sqlite_forget_keys(cafe_store *self, cafe_forget *forget, cafe_err *err);

/* ---- sqlite_backup.c ---- */

int sqlite_backup(cafe_store *self, cafe_backup *backup, cafe_err *err);
void sqlite_end_backup(cafe_store *self, cafe_backup *backup);

/* The name under which a file is made: FILE.<16 digits>.part. NULL: no memory. */
char *sqlite_part_name(const sqlite_store *store, const char *file);
/* Gives a file that is whole its name, durably, if there is none of that name. On failure neither is there. */
int sqlite_publish(const sqlite_store *store, const char *part, const char *file, cafe_err *err);

/* A file by the VFS, without SQLite: OWN, by sqlite_plain_close. flags: SQLITE_OPEN_READONLY or READWRITE, CREATE. */
typedef struct sqlite_plain {
  sqlite3_file *file;
  sqlite3_filename name;
  const sqlite_store *store;
} sqlite_plain;
int sqlite_plain_open(sqlite_plain *out, const sqlite_store *store, const char *path, int flags);
int sqlite_plain_close(sqlite_plain *plain);
/* What the header of a file's first page says it is, and that it needs nothing beside it (no WAL). */
void sqlite_set_header(unsigned char *page, uint32_t application_id);

/* ---- sqlite_restore.c ---- */

/* cafe_sqlite_restore, by a VFS and an allocator, at that time (UTC). */
int sqlite_restore(const char *path, const char *backup, const cafe_sqlite_options *options, int64_t now_ms,
                   cafe_err *err);
/* What a restore wrote down: restored_ms and origins. */
int sqlite_read_origins(sqlite_store *store, cafe_err *err);

#endif
