/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Keys: the clients' own, and those of new streams.
 *
 * What is kept here: a client's key names one stream, from the commit of that stream's first event on, so a repeat
 * finds the first one's answer whatever crashed between. And a new stream's key was never given out before: blocks are
 * reserved by a committed row before the first key of them is used. A crash loses the rest of a block, which leaves a
 * gap in the numbers and nothing else.
 *
 * A restore takes commits back, and with them the row that says which keys were given out. Orders of the life that is
 * lost are still known to others: to the gateway by their keys above all. So a restored store begins with keys that
 * follow the time of its restore, far faster than any node gives them out.
 */
#include "engine/key.h"

#include "engine/health.h"

static int add_write(cafe_op *op, struct unit *unit, cafe_key_mode mode, cafe_slice reply, cafe_key_write **out,
                     cafe_err *err) {
  if (*out)
    return CAFE_OK; /* the unit's own operation comes first; another one's answer is made again when asked */
  cafe_key_write *write = cafe_arena_alloc(unit->arena, sizeof *write);
  if (!write)
    return cafe_fail(err, CAFE_NOMEM, "no memory to keep a client's key");
  write->mode = mode;
  write->scope = op->client_key.scope;
  write->key = op->client_key.key;
  write->fingerprint = op->client_key.fingerprint;
  write->stream_key = op->act.key;
  write->replaces = op->replaces;
  write->reply = reply;
  write->time_ms = unit->now_ms;
  /* The unit keeps its own operation; any other may be answered and gone before the unit is written. */
  bool is_own = unit->acts && unit->acts->op == op;
  if (!is_own && (cafe_arena_copy(&write->scope, unit->arena, write->scope) ||
                  cafe_arena_copy(&write->key, unit->arena, write->key) ||
                  cafe_arena_copy(&write->fingerprint, unit->arena, write->fingerprint) ||
                  cafe_arena_copy(&write->reply, unit->arena, write->reply)))
    return cafe_fail(err, CAFE_NOMEM, "no memory to keep a client's key");
  if (mode != CAFE_KEY_REPLY) {
    op->has_claimed = true;
    op->claimed_by = unit->seq;
  }
  *out = write;
  return CAFE_OK;
}

int key_claim(cafe_op *op, struct unit *unit, cafe_key_write **out, cafe_err *err) {
  cafe_slice none = {NULL, 0};
  if (op->client_key.key.size == 0 || op->has_claimed)
    return CAFE_OK;
  return add_write(op, unit, CAFE_KEY_CLAIM, none, out, err);
}

int key_answer(cafe_op *op, struct unit *unit, const cafe_outcome *outcome, cafe_key_write **out, cafe_err *err) {
  cafe_slice reply = {NULL, 0};
  int code = op->reply ? op->reply(&reply, outcome, op->arena, op->reply_user) : CAFE_OK;
  if (code)
    return callback_failed(err, code, NULL, "no reply could be made to %s of key %llu",
                           op->act.command->type->command->name, (unsigned long long)op->act.key);
  op->reply_bytes = reply;
  if (op->has_claimed)
    return reply.size ? add_write(op, unit, CAFE_KEY_REPLY, reply, out, err) : CAFE_OK;
  if (reply.size)
    return add_write(op, unit, CAFE_KEY_BOTH, reply, out, err);
  return outcome->verdict == CAFE_ACCEPTED || outcome->event ? key_claim(op, unit, out, err) : CAFE_OK;
}

/* ---- looking for an answer that is kept ---- */

typedef struct look_job {
  storage_job job;
  cafe_op *op; /* its act is under way, so it stays */
  cafe_slice scope, key, fingerprint;
  cafe_arena *arena;
  cafe_key_record found;
} look_job;

static int run_look(storage_job *base, cafe_err *err) {
  look_job *job = CONTAINER(base, look_job, job);
  cafe_store *store = base->node->store;
  return store->ops->read_key(store, &job->found, job->scope, job->key, job->fingerprint, job->arena, err);
}

static void look_done(storage_job *base) {
  look_job *job = CONTAINER(base, look_job, job);
  op_key_looked(job->op, base->code, &base->err, &job->found);
  node_arena_free(base->node, job->arena); /* the job lies in it */
}

void key_look(cafe_op *op) {
  cafe_node *node = op->node;
  cafe_arena *arena = node_arena(node);
  look_job *job = arena ? cafe_arena_alloc(arena, sizeof *job) : NULL;
  if (!job) {
    cafe_err err;
    node_arena_free(node, arena);
    cafe_fail(&err, CAFE_NOMEM, "no memory to look for a client's key");
    op_key_looked(op, CAFE_NOMEM, &err, NULL);
    return;
  }
  job->op = op;
  job->scope = op->client_key.scope;
  job->key = op->client_key.key;
  job->fingerprint = op->client_key.fingerprint;
  job->arena = arena;
  job->job.run = run_look;
  job->job.done = look_done;
  job->job.lane = CAFE_LANE_READ;
  storage_submit(node, &job->job);
}

/* ---- blocks of new keys ---- */

enum { ID_ROW = 1 }; /* the only row of the table */

#define KEYS_EPOCH_MS INT64_C(1704067200000) /* 2024-01-01: before the first key of all */
#define KEYS_PER_MS   100                    /* no node makes 100,000 orders a second for long */

/* Below it keys may have been given out in a life that a restore took back. Two restores of one backup differ, too. */
static int64_t first_key(const cafe_node *node) {
  int64_t since_ms = node->restored_ms - KEYS_EPOCH_MS;
  return node->restored_ms == 0 || since_ms < 0 ? 1 : since_ms * KEYS_PER_MS;
}

typedef struct id_job {
  storage_job job;
  bool is_read;
  uint32_t block; /* so many more keys */
  int64_t next;
  uint64_t version;
  cafe_unit unit;
  cafe_unit *units[1];
  cafe_batch batch;
  cafe_row_write row;
  id_row data;
} id_job;

static int see_row(const cafe_table *table, uint64_t key, uint64_t sub, uint64_t version, const void *data,
                   void *user) {
  (void)table, (void)key, (void)sub;
  id_job *job = user;
  job->version = version;
  job->next = ((const id_row *)data)->next;
  return CAFE_OK;
}

static int run_job(storage_job *base, cafe_err *err) {
  id_job *job = CONTAINER(base, id_job, job);
  cafe_store *store = base->node->store;
  if (!job->is_read)
    return store->ops->commit(store, &job->batch, err);
  cafe_row_query query = {sizeof query, &engine_tables[TABLE_IDS], NULL, 0, 0, 0, -1, 1};
  job->version = 0;
  job->next = 1;
  return store->ops->read_rows(store, &query, see_row, job, err);
}

static void write_row(cafe_node *node, bool is_read, uint32_t block);

static void fail_waiting(cafe_node *node, int code, const cafe_err *err) {
  while (node->waiting_for_id) {
    struct act *act = node->waiting_for_id;
    DL_DELETE(node->waiting_for_id, act);
    act->finish(node, act, code, err);
  }
}

static void job_done(storage_job *base) {
  id_job *job = CONTAINER(base, id_job, job);
  cafe_node *node = base->node;
  cafe_err err = base->err;
  int code = base->code;
  bool was_read = job->is_read;
  node->id_job = NULL;
  if (code == CAFE_OK && was_read) {
    node->id_stored = job->next > first_key(node) ? job->next : first_key(node);
    node->id_version = job->version;
  } else if (code == CAFE_OK && job->unit.result == CAFE_UNIT_DONE) {
    /* What is left of a block that this one doesn't follow is given up: what lies between is another node's. */
    if (node->id_end != (uint64_t)node->id_stored)
      node->id_next = (uint64_t)node->id_stored;
    node->id_end = (uint64_t)job->data.next;
    node->id_stored = job->data.next;
    node->id_version++;
  }
  bool is_lost = code == CAFE_OK && !was_read && job->unit.result != CAFE_UNIT_DONE;
  uint32_t block = job->block;
  node_arena_free(node, job->batch.arena); /* the job lies in it */
  if (!was_read)
    health_written(node, code, !is_lost, &err);
  if (code) {
    fail_waiting(node, code, &err);
  } else if (is_lost) {
    write_row(node, true, block);
  } else if (was_read) {
    write_row(node, false, block);
  } else {
    while (node->waiting_for_id) {
      struct act *act = node->waiting_for_id;
      DL_DELETE(node->waiting_for_id, act);
      act_submit(node, act);
    }
  }
}

/* block 0: written as it is. */
static void write_row(cafe_node *node, bool is_read, uint32_t block) {
  cafe_err err;
  if (node->state > NODE_DRAINING)
    return;
  if (!is_read && block && (uint64_t)node->id_stored > CAFE_KEY_MAX) {
    cafe_fail(&err, CAFE_UNSUPPORTED, "no keys are left: 2^53 - 1 was given out");
    fail_waiting(node, err.code, &err);
    return;
  }
  cafe_arena *arena = node_arena(node);
  id_job *job = arena ? cafe_arena_alloc(arena, sizeof *job) : NULL;
  if (!job) {
    node_arena_free(node, arena);
    cafe_fail(&err, CAFE_NOMEM, "no memory to reserve keys");
    fail_waiting(node, err.code, &err);
    return;
  }
  job->is_read = is_read;
  job->block = block;
  job->job.run = run_job;
  job->job.done = job_done;
  job->job.lane = is_read ? CAFE_LANE_READ : CAFE_LANE_WRITE;
  job->data.next = node->id_stored + block;
  if ((uint64_t)job->data.next > CAFE_KEY_MAX + 1)
    job->data.next = (int64_t)(CAFE_KEY_MAX + 1);
  job->row.table = &engine_tables[TABLE_IDS];
  job->row.key = ID_ROW;
  job->row.expected = node->id_version;
  job->row.data = &job->data;
  job->unit.size = sizeof job->unit;
  job->unit.key = ID_ROW;
  job->unit.rows = &job->row;
  job->unit.row_count = 1;
  job->units[0] = &job->unit;
  job->batch.size = sizeof job->batch;
  job->batch.units = job->units;
  job->batch.unit_count = 1;
  job->batch.arena = arena;
  node->id_job = job;
  storage_submit(node, &job->job);
}

static void reserve(cafe_node *node, bool is_read) { write_row(node, is_read, node->id_block); }

void key_rewrite(cafe_node *node) {
  if (!node->id_job)
    write_row(node, node->id_stored == 0, 0);
}

int key_take(cafe_node *node, uint64_t *out, struct act *act) {
  bool has_row = node->id_stored != 0;
  bool is_low = node->id_end - node->id_next <= node->id_block / 4;
  bool is_empty = node->id_next == node->id_end;
  if (is_empty)
    DL_APPEND(node->waiting_for_id, act); /* before a failure is told to all that wait */
  else
    *out = node->id_next++;
  /* The next block is fetched while the last quarter of this one is used, so that nobody waits for it. */
  if (is_low && !node->id_job)
    reserve(node, !has_row);
  return is_empty ? CAFE_UNAVAILABLE : CAFE_OK;
}

void key_close(cafe_node *node) {
  DL_CONCAT(node->acts, node->waiting_for_id); /* to be canceled in the next turn */
  node->waiting_for_id = NULL;
}
