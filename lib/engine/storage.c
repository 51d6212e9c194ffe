/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The store's methods block, the loop must not. Each call is a job: on the lane's thread, or, for a store that doesn't
 * block, at once. What is kept here: `done` runs exactly once, on the loop thread, never inside storage_submit; and a
 * store that can't take the job at all fails it in the same way, so that callers have one path for failures.
 */
#include "engine/node.h"

static void run_on_lane(cafe_job *base) {
  storage_job *job = CONTAINER(base, storage_job, job);
  job->code = job->run(job, &job->err);
}

static void finish(storage_job *job) {
  cafe_node *node = job->node;
  node->jobs--;
  if (job->code && !job->err.code) /* the sink refused, not the store */
    cafe_fail(&job->err, (cafe_code)job->code, "what was read couldn't be taken: %s", cafe_code_name(job->code));
  job->done(job);
  node_pump(node);
}

static void done_on_loop(cafe_job *base) { finish(CONTAINER(base, storage_job, job)); }

void storage_submit(cafe_node *node, storage_job *job) {
  job->node = node;
  node->jobs++;
  if (!node->store->ops->is_inline) {
    job->job.run = run_on_lane;
    job->job.done = done_on_loop;
    cafe_err err;
    int code = node->loop->ops->work(node->loop, job->lane, &job->job, &err);
    if (code == CAFE_OK)
      return; /* it is the lane's, which may have set code and err by now */
    job->code = code;
    job->err = err;
  } else {
    job->code = job->run(job, &job->err);
  }
  DL_APPEND(node->jobs_done, job);
  node_pump(node);
}

void storage_turn(cafe_node *node) {
  /* What these submit in turn is finished in the next turn, so that one never starves the loop. */
  storage_job *list = node->jobs_done;
  node->jobs_done = NULL;
  while (list) {
    storage_job *job = list;
    list = job->next;
    finish(job);
  }
}
