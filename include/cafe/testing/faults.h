/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAFE_TESTING_FAULTS_H
#define CAFE_TESTING_FAULTS_H

#include "cafe/sys/store.h"

CAFE_BEGIN_DECLS

/*
 * A store around another that fails when it is told to. For tests that let call n fail, or the process die after commit
 * n, for n = 1, 2, … until nothing was hit. The store inside is the disk, the one around it the process: kill it,
 * destroy the node, revive it, and a new node finds what was committed. It has those optional methods that `inner` has.
 *
 * Faults and counts may be set and read while calls are running on other threads.
 */

/* When to fail. Zeroed, but for size: never. Commits and calls are counted since the faults were set, from 1; what
 * deletes keys, and what makes, drops or uses a shadow, writes too, and counts as a commit. */
typedef struct cafe_store_faults {
  size_t size;
  uint64_t fail_call;         /* this call, of whatever method, isn't done and returns fail_code */
  uint64_t fail_calls;        /* so many in a row from there; 0: 1 */
  int fail_code;              /* 0: CAFE_UNAVAILABLE */
  uint64_t die_before_commit; /* this commit isn't done, and the store is dead */
  uint64_t die_after_commit;  /* this commit is done, nobody learns of it, and the store is dead */
} cafe_store_faults;

#define CAFE_STORE_FAULTS_INIT                                                                                         \
  { sizeof(cafe_store_faults), 0, 0, 0, 0, 0 }

/* What has been asked of it since the faults were set, or since it was made. Fields may be added at the end. */
typedef struct cafe_store_counts {
  size_t size;
  uint64_t calls;   /* of all methods that may fail, also those that failed by a fault or met a dead store */
  uint64_t commits; /* the same of commits */
  uint64_t faults;  /* calls that a fault failed, other than by meeting a dead store */
  bool is_dead;
} cafe_store_counts;

/* Makes a store around `inner`, that has its name and is_inline. inner BORROW: until the new one is destroyed,
 * which leaves it as it is. OWN: cafe_store_destroy. allocator NULL: malloc; otherwise COPY. CAFE_NOMEM,
 * CAFE_UNAVAILABLE (no lock). Since 0.1. */
CAFE_EXPORT int cafe_faulty_store_create(cafe_store **out, cafe_store *inner, const cafe_allocator *allocator,
                                         cafe_err *err);

/* Sets new faults and begins to count anew; NULL: none. A dead store stays dead. THREADSAFE. Since 0.1. */
CAFE_EXPORT void cafe_faulty_store_set(cafe_store *store, const cafe_store_faults *faults);

/* Dead: every call returns CAFE_UNAVAILABLE, and nothing reaches the store inside. Alive again: calls go through; open
 * it first, as after a crash. THREADSAFE. Since 0.1. */
CAFE_EXPORT void cafe_faulty_store_kill(cafe_store *store);
CAFE_EXPORT void cafe_faulty_store_revive(cafe_store *store);

/* Fills *out, whose size is set. THREADSAFE. Since 0.1. */
CAFE_EXPORT void cafe_faulty_store_count(cafe_store *store, cafe_store_counts *out);

CAFE_END_DECLS

#endif
