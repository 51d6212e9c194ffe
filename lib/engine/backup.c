/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A backup, piece by piece on the read lane, so that whoever reads waits for a piece of it at most. What is kept here:
 * one that was begun is over, by its end or by end_backup, before the node is closed; and nobody is told of it who has
 * given up.
 *
 * A crash leaves what the store leaves: no backup.
 */
#include "base/sized.h"
#include "cafe/upkeep.h"
#include "engine/node.h"

typedef struct backup_job {
  storage_job job;
  cafe_op *op; /* NULL: answered already */
  cafe_arena *arena;
  cafe_backup backup;
  bool is_ending;
  void (*done)(const cafe_err *err, void *user);
} backup_job;

static int run_piece(storage_job *base, cafe_err *err) {
  backup_job *job = CONTAINER(base, backup_job, job);
  cafe_store *store = base->node->store;
  if (!job->is_ending)
    return store->ops->backup(store, &job->backup, err);
  store->ops->end_backup(store, &job->backup);
  return CAFE_OK;
}

static void piece_done(storage_job *base);

static void submit(cafe_node *node, backup_job *job) {
  memset(&job->job, 0, sizeof job->job);
  job->job.run = run_piece;
  job->job.done = piece_done;
  job->job.lane = CAFE_LANE_READ;
  storage_submit(node, &job->job);
}

static void piece_done(storage_job *base) {
  backup_job *job = CONTAINER(base, backup_job, job);
  cafe_node *node = base->node;
  bool is_over = base->code || job->backup.is_done || job->is_ending;
  if (!is_over) {
    job->is_ending = !job->op;
    submit(node, job);
    return;
  }
  /* The lane may not have taken the job: then this is the last who can. */
  node->store->ops->end_backup(node->store, &job->backup);
  if (job->op)
    op_answer(job->op, base->code ? &base->err : NULL, NULL);
  node_arena_free(node, job->arena); /* the job lies in it */
}

static void backup_served(cafe_op *op, const cafe_err *err, const cafe_outcome *outcome) {
  (void)outcome;
  backup_job *job = op->serves;
  job->op = NULL;
  if (job->done)
    job->done(err, op->user);
}

int cafe_node_backup(cafe_op **op, cafe_node *node, const char *path, void (*done)(const cafe_err *err, void *user),
                     void *user, cafe_err *err) {
  int code = read_check(node, err);
  if (code)
    return code;
  if (!path || !path[0])
    return cafe_fail(err, CAFE_INVALID, "a backup needs the path of a file");
  if (!SIZED_HAS(node->store->ops, backup) || !SIZED_HAS(node->store->ops, end_backup))
    return cafe_fail(err, CAFE_UNSUPPORTED, "the store %s can't be backed up while it is used", node->store->ops->name);
  cafe_arena *arena = node_arena(node);
  backup_job *job = arena ? cafe_arena_alloc(arena, sizeof *job) : NULL;
  cafe_slice copy = {NULL, 0};
  if (!job || cafe_arena_copy(&copy, arena, cafe_text(path)) || !(job->op = op_make(node, job, backup_served, user))) {
    node_arena_free(node, arena);
    return cafe_fail(err, CAFE_NOMEM, "no memory for a backup");
  }
  job->arena = arena;
  job->done = done;
  job->backup.size = sizeof job->backup;
  job->backup.path = copy.data;
  if (op)
    *op = job->op;
  submit(node, job);
  return CAFE_OK;
}
