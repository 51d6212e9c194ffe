/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAFE_TESTING_TRANSPORT_CONTRACT_H
#define CAFE_TESTING_TRANSPORT_CONTRACT_H

#include "cafe/sys/transport.h"

CAFE_BEGIN_DECLS

/*
 * What sys/transport.h promises, as checks. Whoever writes a transport describes it by a cafe_transport_contract and
 * runs the checks in a test framework of his choice: each check is a name and a function that says passed, or why not.
 * The suite asserts nothing itself, ends no process, and leaves no memory behind. It brings the servers, the callers
 * and the subscribers, and turns the loop. With CAFE_FULL set in the environment, more accidents are drawn.
 */

/* The ends of a check: nodes that can reach each other, each with a transport of its own. What an end offers is
 * cafe_transport_contract_services(end). Most is asked of end 0, by 1 and 2. */
enum { CAFE_TRANSPORT_ENDS = 3 };

/* A transport under test. BORROW: while a check runs. */
typedef struct cafe_transport_contract {
  size_t size;
  const char *name;     /* for messages */
  bool takes_allocator; /* it allocates from the one handed to begin: each allocation is then refused once, and what
                           isn't given back is counted */
  uint32_t ahead_max;   /* batches that it may fetch for a link before `more` asks for them */
  int64_t patience_ms;  /* on the loop's clock: within it happens what has to, backoff included. 0: 20,000 */
  int64_t quiet_ms;     /* on the loop's clock: what hasn't happened then, doesn't happen. 0: 100 */
  void *user;

  /* REQUIRED. A loop, real or simulated, on which the ends will be joined. What an earlier begin made is ended. The
   * loop may take the allocator too. allocator NULL: malloc. */
  int (*begin)(cafe_loop **out, const cafe_allocator *allocator, void *user, cafe_err *err);

  /* REQUIRED. Frees the loop and whatever else begin made; the transports are destroyed. */
  void (*end)(cafe_loop *loop, void *user);

  /* REQUIRED. The transport of an end, not opened, that knows where the others' services are. An end that was destroyed
   * may be made again, as by a process that restarts: the others find it where it was. */
  int (*create)(cafe_transport **out, uint32_t end, void *user, cafe_err *err);

  /* REQUIRED. Cuts an end off from the others, or heals that: nothing gets from or to it. Where there are connections,
   * they break, or just fall silent. It is healed when a check begins. */
  void (*cut)(uint32_t end, bool is_cut, void *user);

  /* OPTIONAL. From now on all ends have bad connections: what is sent is late, comes in pieces, gets lost, and
   * connections break, as drawn by the seed; not so often that nothing gets through within patience_ms. 0: no more. */
  void (*disturb)(uint64_t seed, void *user);
} cafe_transport_contract;

#define CAFE_TRANSPORT_CONTRACT_INIT                                                                                   \
  { sizeof(cafe_transport_contract), NULL, false, 0, 0, 0, NULL, NULL, NULL, NULL, NULL, NULL }

/* Why a check failed. */
#define CAFE_TRANSPORT_WHY_MAX 1024

/* What an end offers, ended by NULL; NULL beyond the last end. BORROW: a constant. Since 0.1. */
CAFE_EXPORT const char *const *cafe_transport_contract_services(uint32_t end);

/* The number of checks for this transport: those for what it says that it can. 0 where a REQUIRED function is missing.
 * Since 0.1. */
CAFE_EXPORT uint32_t cafe_transport_contract_count(const cafe_transport_contract *contract);

/* The name of check `index`, a sentence in words_joined_by_underscores; NULL beyond the last. BORROW: a constant.
 * Since 0.1. */
CAFE_EXPORT const char *cafe_transport_contract_name(const cafe_transport_contract *contract, uint32_t index);

/* Runs one check. Returns true if it passed; else why says where the transport differs. Since 0.1. */
CAFE_EXPORT bool cafe_transport_contract_check(char why[CAFE_TRANSPORT_WHY_MAX],
                                               const cafe_transport_contract *contract, uint32_t index);

/* Runs all checks, each reported: why is NULL for one that passed. Returns the number of those that failed; 1 if there
 * are none to run. Since 0.1. */
CAFE_EXPORT uint32_t cafe_transport_contract_run(const cafe_transport_contract *contract,
                                                 void (*report)(const char *check, const char *why, void *user),
                                                 void *user);

CAFE_END_DECLS

#endif
