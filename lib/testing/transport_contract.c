/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Runs the checks of a transport. The invariant: a check leaves nothing behind, passed or failed; whatever it makes
 * belongs to the trial and is given back here, and that it can be is the last thing that is checked. Leaving by longjmp
 * would be wrong inside the transport: so callbacks only note what is wrong.
 */
#include "cafe/testing/transport_contract.h"

#include <stdio.h>

#include "base/sized.h"
#include "testing/transport_trial.h"

_Static_assert(CAFE_TRANSPORT_WHY_MAX == CAFE_STORE_WHY_MAX, "both kinds of checks fail by the same words");

enum { PATIENCE_MS = 20000, QUIET_MS = 100 };

static const trial_entry *const lists[] = {trials_requests, trials_ends,     trials_links, trials_flow,
                                           trials_losses,   trials_refusals, trials_memory};

const char *const *cafe_transport_contract_services(uint32_t end) {
  static const char *const services[TRIAL_ENDS][3] = {
      {"contract-a", "contract-b", NULL}, {"contract-c", NULL, NULL}, {"contract-d", NULL, NULL}};
  return end < TRIAL_ENDS ? services[end] : NULL;
}

static bool read_contract(cafe_transport_contract *out, const cafe_transport_contract *given) {
  return SIZED_READ(out, given, cafe_transport_contract, disturb, "CAFE_TRANSPORT_CONTRACT_INIT", NULL) == CAFE_OK &&
         out->name && out->begin && out->end && out->create && out->cut;
}

/* The check at *index of those that this transport has to pass; NULL beyond them, with *index less their number. */
static const trial_entry *find(const cafe_transport_contract *given, uint32_t *index) {
  cafe_transport_contract contract;
  if (!read_contract(&contract, given)) {
    return NULL;
  }
  for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
    for (const trial_entry *entry = lists[i]; entry->name; entry++) {
      bool is_meant =
          (!entry->needs_allocator || contract.takes_allocator) && (!entry->needs_disturb || contract.disturb);
      if (is_meant && (*index)-- == 0) {
        return entry;
      }
    }
  }
  return NULL;
}

uint32_t cafe_transport_contract_count(const cafe_transport_contract *contract) {
  uint32_t left = UINT32_MAX;
  (void)find(contract, &left);
  return UINT32_MAX - left;
}

const char *cafe_transport_contract_name(const cafe_transport_contract *contract, uint32_t index) {
  const trial_entry *entry = find(contract, &index);
  return entry ? entry->name : NULL;
}

/* In memory of its own, so that longjmp loses nothing of it. */
static bool run(trial *t, const trial_entry *entry) {
  jmp_buf leave;
  volatile bool passed = false;
  t->check.leave = &leave;
  if (setjmp(leave) == 0) {
    entry->run(t);
    passed = true;
  }
  t->method = NULL;
  if (!trial_end_all(t) && passed) {
    (void)snprintf(t->check.why, CAFE_TRANSPORT_WHY_MAX, "%s", t->broken);
    return false;
  }
  return passed;
}

bool cafe_transport_contract_check(char why[CAFE_TRANSPORT_WHY_MAX], const cafe_transport_contract *contract,
                                   uint32_t index) {
  const trial_entry *entry = find(contract, &index);
  why[0] = '\0';
  if (!entry) {
    (void)snprintf(why, CAFE_TRANSPORT_WHY_MAX, "There is no such check.");
    return false;
  }
  cafe_arena *arena = cafe_arena_create(NULL);
  trial *t = arena ? cafe_arena_alloc(arena, sizeof(*t)) : NULL;
  cafe_transport_contract *known = t ? cafe_arena_alloc(arena, sizeof(*known)) : NULL;
  if (!known) {
    cafe_arena_destroy(arena);
    (void)snprintf(why, CAFE_TRANSPORT_WHY_MAX, "The check itself was refused memory.");
    return false;
  }
  (void)read_contract(known, contract);
  t->contract = known;
  t->patience_us = (known->patience_ms ? known->patience_ms : PATIENCE_MS) * 1000;
  t->quiet_us = (known->quiet_ms ? known->quiet_ms : QUIET_MS) * 1000;
  t->check.why = why;
  t->check.arena = arena;
  bool passed = run(t, entry);
  cafe_arena_destroy(arena);
  return passed;
}

uint32_t cafe_transport_contract_run(const cafe_transport_contract *contract,
                                     void (*report)(const char *check, const char *why, void *user), void *user) {
  uint32_t failed = 0;
  uint32_t count = cafe_transport_contract_count(contract);
  for (uint32_t i = 0; i < count; i++) {
    char why[CAFE_TRANSPORT_WHY_MAX];
    bool passed = cafe_transport_contract_check(why, contract, i);
    failed += !passed;
    report(cafe_transport_contract_name(contract, i), passed ? NULL : why, user);
  }
  return count ? failed : 1;
}
