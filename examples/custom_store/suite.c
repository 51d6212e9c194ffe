/* SPDX-License-Identifier: Apache-2.0 */

/* suite: runs the contract suite (cafe/testing/store_contract.h) on the notebook, tier core, and says what failed. */
#include <stdio.h>

#include <cafe/testing/store_contract.h>

#include "notebook.h"

static int create(cafe_store **out, const cafe_allocator *allocator, void *user, cafe_err *err) {
  (void)user;
  return notebook_create(out, allocator, err);
}

/* Tier core ends a store in order only, and opening the same one again stands for a new process. */
static int restart(cafe_store **store, cafe_store_ending ending, uint64_t seed, const cafe_allocator *allocator,
                   void *user, cafe_err *err) {
  (void)store, (void)ending, (void)seed, (void)allocator, (void)user, (void)err;
  return CAFE_OK;
}

static void report(const char *check, const char *why, void *user) {
  (void)user;
  if (why) printf("%s: %s\n", check, why);
}

int main(void) {
  cafe_store_contract contract = CAFE_STORE_CONTRACT_INIT;
  contract.name = "notebook";
  contract.tiers = CAFE_STORE_CORE;
  contract.is_inline = true;
  contract.takes_allocator = true;
  contract.create = create;
  contract.restart = restart;
  uint32_t failed = cafe_store_contract_run(&contract, report, NULL);
  printf("%u of %u checks failed\n", (unsigned)failed, (unsigned)cafe_store_contract_count(&contract));
  return failed != 0;
}
