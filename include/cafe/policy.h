/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAFE_POLICY_H
#define CAFE_POLICY_H

#include "cafe/aggregate.h"

CAFE_BEGIN_DECLS

/* Collects the commands that something asks for. */
typedef struct cafe_reaction cafe_reaction;

/* Asks for a command. data is copied, its texts too. A failure is kept and fails the unit. Since 0.1. */
CAFE_EXPORT void cafe_react(cafe_reaction *out, const cafe_schema *command, uint64_t key, const void *data);

/*
 * "Whenever this happened, ask for that." Pure. Where the event's service is hosted by the same node and the command
 * has the event's own key, it is decided in the unit of the event; otherwise through a subscription to the source's
 * log, in a unit that also moves the subscription's checkpoint: once, whatever crashes.
 * A command that is refused then is logged, and nothing else: policies ask for what an aggregate can always answer.
 */
typedef struct cafe_policy {
  size_t size;                      /* CAFE_POLICY sets it */
  const char *name;                 /* names the subscription: unique in a node, kept for ever */
  const char *source;               /* the service whose events it reads */
  const cafe_schema *const *events; /* ended by NULL */
  bool other_key;                   /* react asks for keys other than the event's */

  /* REQUIRED. */
  void (*react)(cafe_reaction *out, const cafe_event *event, const void *config);
  const void *config;                 /* handed to react. BORROW */
  const cafe_schema *const *commands; /* all that react may ask for, ended by NULL; of aggregates of the same node */
} cafe_policy;

#define CAFE_POLICY sizeof(cafe_policy)

CAFE_END_DECLS

#endif
