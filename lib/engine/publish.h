/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ENGINE_PUBLISH_H
#define ENGINE_PUBLISH_H

#include "engine/node.h"

/* One read of the log, of some hundred KB at most, but for an event that is larger. done runs once, on the loop thread;
 * the job and its events are gone after it, unless it has taken their arena. */
typedef struct log_job {
  storage_job job;
  cafe_arena *arena; /* of all of it. NULL: done has taken it */
  cafe_log_query query;
  uint64_t partitions; /* only these, a bit for each; 0: all */
  cafe_stored_event *events;
  uint32_t count, room;
  size_t bytes;
  bool is_full;
  void (*done)(struct log_job *job, int code, const cafe_err *err);
  void *user;
} log_job;

/* types BORROW until done; NULL: all that a definition here emits. NULL: no memory, and done isn't called. */
log_job *log_read(cafe_node *node, uint32_t shard, uint64_t after, uint32_t limit, const char *const *types,
                  uint64_t partitions, void (*done)(log_job *job, int code, const cafe_err *err), void *user);

#endif
