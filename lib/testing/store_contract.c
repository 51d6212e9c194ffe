/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Runs the checks of a backend. The invariant: a check leaves nothing behind, passed or failed; whatever it makes
 * belongs to the store_check and is given back here. Leaving by longjmp would be wrong as soon as something between a
 * check and this file held memory or a lock: so sinks, which run inside the store, never check.
 */
#include "cafe/testing/store_contract.h"

#include <stdio.h>
#include <string.h>

#include "base/sized.h"
#include "testing/store_checks.h"

typedef struct check_list {
  cafe_store_tier tier;
  const store_check_entry *entries;
} check_list;

static const check_list lists[] = {
    {CAFE_STORE_CORE, store_checks_units},
    {CAFE_STORE_CORE, store_checks_log},
    {CAFE_STORE_CORE, store_checks_turns},
    {CAFE_STORE_CORE, store_checks_rows},
    {CAFE_STORE_CORE, store_checks_change},
    {CAFE_STORE_CORE, store_checks_keys},
    {CAFE_STORE_CORE, store_checks_faults},
    {CAFE_STORE_CORE, store_checks_shadows},
    {CAFE_STORE_DURABLE, store_checks_durable},
    {CAFE_STORE_DURABLE, store_checks_shadows_durable},
    {CAFE_STORE_INSPECTABLE, store_checks_inspectable},
    {CAFE_STORE_BACKED_UP, store_checks_backup},
};

static bool is_complete(const cafe_store_contract *given) {
  cafe_store_contract known;
  const cafe_store_contract *contract = &known;
  if (SIZED_READ(&known, given, cafe_store_contract, query, "CAFE_STORE_CONTRACT_INIT", NULL)) {
    return false;
  }
  if (!contract->name || !(contract->tiers & CAFE_STORE_CORE) || !contract->create || !contract->restart) {
    return false;
  }
  if ((contract->tiers & CAFE_STORE_DURABLE) && (!contract->fail_io || !contract->damage || !contract->rival)) {
    return false;
  }
  if ((contract->tiers & CAFE_STORE_SHARED) && !contract->rival) {
    return false;
  }
  if ((contract->tiers & CAFE_STORE_BACKED_UP) && (!contract->backup_path || !contract->restore)) {
    return false;
  }
  return !(contract->tiers & CAFE_STORE_INSPECTABLE) || contract->query;
}

/* The check at *index of those that this backend has to pass; NULL beyond them, with *index less their number. */
static const store_check_entry *find(const cafe_store_contract *contract, uint32_t *index) {
  for (size_t i = 0; is_complete(contract) && i < sizeof(lists) / sizeof(lists[0]); i++) {
    for (const store_check_entry *entry = lists[i].entries; entry->name; entry++) {
      bool is_meant = (contract->tiers & (unsigned)lists[i].tier) &&
                      (!entry->needs_allocator || contract->takes_allocator) &&
                      (!entry->needs_threads || !contract->is_inline);
      if (is_meant && (*index)-- == 0) {
        return entry;
      }
    }
  }
  return NULL;
}

uint32_t cafe_store_contract_count(const cafe_store_contract *contract) {
  uint32_t left = UINT32_MAX;
  (void)find(contract, &left);
  return UINT32_MAX - left;
}

const char *cafe_store_contract_name(const cafe_store_contract *contract, uint32_t index) {
  const store_check_entry *entry = find(contract, &index);
  return entry ? entry->name : NULL;
}

bool cafe_store_contract_check(char why[CAFE_STORE_WHY_MAX], const cafe_store_contract *contract, uint32_t index) {
  const store_check_entry *entry = find(contract, &index);
  volatile bool passed = false;
  jmp_buf leave;
  store_check check;
  memset(&check, 0, sizeof(check));
  why[0] = '\0';
  if (!entry) {
    (void)snprintf(why, CAFE_STORE_WHY_MAX, "There is no such check.");
    return false;
  }
  check.contract = contract;
  check.why = why;
  check.leave = &leave;
  check.arena = cafe_arena_create(NULL);
  if (!check.arena) {
    (void)snprintf(why, CAFE_STORE_WHY_MAX, "The check itself was refused memory.");
    return false;
  }
  if (setjmp(leave) == 0) {
    entry->run(&check);
    passed = true;
  }
  cafe_store_destroy(check.rival);
  cafe_store_destroy(check.store);
  cafe_arena_destroy(check.spare);
  cafe_arena_destroy(check.arena);
  return passed;
}

uint32_t cafe_store_contract_run(const cafe_store_contract *contract,
                                 void (*report)(const char *check, const char *why, void *user), void *user) {
  uint32_t failed = 0;
  uint32_t count = cafe_store_contract_count(contract);
  for (uint32_t i = 0; i < count; i++) {
    char why[CAFE_STORE_WHY_MAX];
    bool passed = cafe_store_contract_check(why, contract, i);
    failed += !passed;
    report(cafe_store_contract_name(contract, i), passed ? NULL : why, user);
  }
  return count ? failed : 1;
}
