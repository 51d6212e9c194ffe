/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAFE_POLICY_H
#define CAFE_POLICY_H

#include "cafe/aggregate.h"

CAFE_BEGIN_DECLS

/* Collects the commands that something asks for. */
typedef struct cafe_reaction cafe_reaction;

/* Asks for a command to a key (1 to CAFE_KEY_MAX); inside what was handed the reaction only: a policy's react, a saga's
 * asks, a worker's or an aggregate's give_up, which names at most one, to its own key, of an aggregate of the node.
 * data COPY, texts too: the struct that command describes, of `size` bytes (schema.h). A failure (CAFE_NOMEM,
 * CAFE_INVALID for a value outside its type, CAFE_UNSUPPORTED) is kept, the first one, and fails the unit, or the
 * giving up. Loop thread. Since 0.1. */
CAFE_EXPORT void cafe_react(cafe_reaction *out, const cafe_schema *command, uint64_t key, const void *data,
                            size_t size);

/* Fails the unit, also when commands were asked for. Since 0.1. */
CAFE_EXPORT void cafe_reaction_fail(cafe_reaction *out, cafe_code code, const char *format, ...) CAFE_PRINTF(3, 4);

typedef enum cafe_policy_flag {
  CAFE_POLICY_SKIPS = 1 /* records of a key are taken also while an earlier one of it is parked (letters.h) */
} cafe_policy_flag;

/*
 * "Whenever this happened, ask for that." Pure. Where the event's service is hosted by the same node and the command
 * has the event's own key, it is decided in the unit of the event; otherwise through a subscription to the source's
 * log, in a unit that also moves the subscription's checkpoint: once, whatever crashes.
 * In the unit it hears only what is committed while it is hosted; a subscription hears the log from its beginning. A
 * policy that is added to a log that it has to catch up with says other_key, and so is a subscription.
 * A subscription takes the events of a shard of a log in their order, whatever keys they are of: what had to wait has
 * its effect oldest first. Not so beside a failure: what others wrote meanwhile, and what is parked, come out of turn,
 * those of one key still in their order; of a policy that asks for several keys at once only the last ones are in order
 * as a whole; and between shards and logs there is none. Where that matters the command carries event->time_ms, and
 * the asked aggregate sorts by it, ready for an earlier one that is still to come. position.n orders the events of one
 * shard of one log; it is 0 in the event's own unit.
 * A command that is refused then is logged, and nothing else: policies ask for what an aggregate can always answer.
 */
typedef struct cafe_policy {
  size_t size;                      /* CAFE_POLICY sets it */
  const char *name;                 /* names the subscription: unique in a node, kept for ever; letters, digits, '_',
                                       '-' and '.' */
  const char *source;               /* the service whose events it reads; the one that it is a part of, too */
  const cafe_schema *const *events; /* at least one, each once, ended by NULL */
  bool other_key;                   /* react asks for keys other than the event's */

  /* REQUIRED. Names what it asks for by cafe_react. BORROW the event until it returns. */
  void (*react)(cafe_reaction *out, const cafe_event *event, void *user);
  const cafe_schema *const *commands; /* all that react may ask for, ended by NULL; of aggregates of the same node */
  void *user;                         /* handed to react */
  uint64_t flags;                     /* cafe_policy_flag */
} cafe_policy;

#define CAFE_POLICY sizeof(cafe_policy)

CAFE_END_DECLS

#endif
