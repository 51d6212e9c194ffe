/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lanes: a thread each, made when the first job comes.
 *
 * What it keeps: a job belongs to its lane's thread from work() until it is pushed to `finished`; both happen under the
 * mutex. The loop is told by one uv_async, which holds the loop alive as long as there are
 * jobs.
 */
#include <signal.h>

#include "loop/adapter.h"

int adapter_lanes_init(adapter *self) {
  int status = uv_mutex_init(&self->mutex);
  if (status != 0) {
    return status;
  }
  self->has_mutex = true;
  for (int i = 0; i < CAFE_LANES; i++) {
    status = uv_cond_init(&self->lanes[i].filled);
    if (status != 0) {
      return status;
    }
    self->lanes[i].has_cond = true;
  }
  return 0;
}

static void queue_push(job_queue *queue, cafe_job *job) {
  job->loop_data[0] = NULL;
  if (queue->last) {
    queue->last->loop_data[0] = job;
  } else {
    queue->first = job;
  }
  queue->last = job;
}

static cafe_job *queue_pop(job_queue *queue) {
  cafe_job *job = queue->first;
  if (job) {
    queue->first = job->loop_data[0];
    if (!queue->first) {
      queue->last = NULL;
    }
  }
  return job;
}

static void lane_main(void *user) {
  lane *own = user;
  adapter *self = own->loop;
  uv_mutex_lock(&self->mutex);
  for (;;) {
    cafe_job *job = queue_pop(&own->waiting);
    if (!job) {
      if (self->is_stopping) {
        break;
      }
      uv_cond_wait(&own->filled, &self->mutex);
      continue;
    }
    uv_mutex_unlock(&self->mutex);
    job->run(job);
    uv_mutex_lock(&self->mutex);
    queue_push(&self->finished, job);
    (void)uv_async_send(&self->reported);
  }
  uv_mutex_unlock(&self->mutex);
}

static int lane_begin(adapter *self, lane *own, cafe_err *err) {
  sigset_t all;
  sigset_t before;
  /* Signals are for the program's own threads: a handler may expect them there. */
  (void)sigfillset(&all);
  (void)pthread_sigmask(SIG_SETMASK, &all, &before);
  own->loop = self;
  int status = uv_thread_create(&own->thread, lane_main, own);
  (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (status != 0) {
    return adapter_failure(err, CAFE_UNAVAILABLE, status, "no thread can be made for a lane");
  }
  own->has_thread = true;
  return CAFE_OK;
}

int adapter_work(cafe_loop *loop, cafe_lane number, cafe_job *job, cafe_err *err) {
  adapter *self = (adapter *)loop;
  if ((unsigned)number >= CAFE_LANES) {
    return cafe_fail(err, CAFE_UNSUPPORTED, "the libuv loop has no lane %d: upgrade it", (int)number);
  }
  lane *own = &self->lanes[number];
  if (!own->has_thread) {
    int code = lane_begin(self, own, err);
    if (code != CAFE_OK) {
      return code;
    }
  }
  if (self->jobs++ == 0) {
    uv_ref((uv_handle_t *)&self->reported);
  }
  uv_mutex_lock(&self->mutex);
  queue_push(&own->waiting, job);
  uv_cond_signal(&own->filled);
  uv_mutex_unlock(&self->mutex);
  return CAFE_OK;
}

void adapter_lanes_reported(uv_async_t *async) {
  adapter *self = async->data;
  uv_mutex_lock(&self->mutex);
  job_queue finished = self->finished;
  self->finished.first = NULL;
  self->finished.last = NULL;
  uv_mutex_unlock(&self->mutex);

  for (cafe_job *job = queue_pop(&finished); job; job = queue_pop(&finished)) {
    if (--self->jobs == 0) {
      uv_unref((uv_handle_t *)async);
    }
    bool outer = adapter_dispatch_begin(self);
    job->done(job);
    adapter_dispatch_end(self, outer);
  }
}

void adapter_lanes_stop(adapter *self) {
  if (!self->has_mutex) {
    return;
  }
  uv_mutex_lock(&self->mutex);
  self->is_stopping = true;
  uv_mutex_unlock(&self->mutex);
  for (int i = 0; i < CAFE_LANES; i++) {
    if (self->lanes[i].has_thread) {
      uv_cond_signal(&self->lanes[i].filled);
      (void)uv_thread_join(&self->lanes[i].thread);
    }
  }
}

void adapter_lanes_deinit(adapter *self) {
  for (int i = 0; i < CAFE_LANES; i++) {
    if (self->lanes[i].has_cond) {
      uv_cond_destroy(&self->lanes[i].filled);
    }
  }
  if (self->has_mutex) {
    uv_mutex_destroy(&self->mutex);
  }
}
