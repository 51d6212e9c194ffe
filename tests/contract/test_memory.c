/* SPDX-License-Identifier: Apache-2.0 */

/* The memory store keeps tier core, on the loop and on two lanes. */
#include "cafe/store/memory.h"
#include "contract_suite.h"

typedef struct backend {
  bool is_threaded;
} backend;

static int create(cafe_store **out, const cafe_allocator *allocator, void *user, cafe_err *err) {
  const backend *self = user;
  cafe_memory_options options = CAFE_MEMORY_OPTIONS_INIT;
  options.allocator = allocator;
  options.is_threaded = self->is_threaded;
  return cafe_memory_create(out, &options, err);
}

/* Opening the same store again stands for a restart. */
static int restart(cafe_store **store, cafe_store_ending ending, uint64_t seed, const cafe_allocator *allocator,
                   void *user, cafe_err *err) {
  (void)user;
  (void)store;
  (void)seed;
  (void)allocator;
  if (ending != CAFE_STORE_CLOSED) {
    return cafe_fail(err, CAFE_UNSUPPORTED, "a memory store ends with its process");
  }
  return CAFE_OK;
}

static int run(const char *name, bool is_threaded, const char *only) {
  backend self = {is_threaded};
  cafe_store_contract contract = CAFE_STORE_CONTRACT_INIT;
  contract.name = name;
  contract.is_inline = !is_threaded;
  contract.takes_allocator = true;
  contract.user = &self;
  contract.create = create;
  contract.restart = restart;
  return store_suite_run(&contract, only);
}

int main(int argc, char **argv) {
  const char *only = argc > 1 ? argv[1] : NULL;
  return run("memory", false, only) + run("memory, threaded", true, only);
}
