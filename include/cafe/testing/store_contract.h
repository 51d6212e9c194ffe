/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAFE_TESTING_STORE_CONTRACT_H
#define CAFE_TESTING_STORE_CONTRACT_H

#include "cafe/sys/store.h"

CAFE_BEGIN_DECLS

/*
 * What sys/store.h promises, as checks. Whoever writes a store describes it by a cafe_store_contract and runs the
 * checks in a test framework of his choice: each check is a name and a function that says passed, or why not. The suite
 * asserts nothing itself, ends no process, and leaves no memory behind. With CAFE_FULL set in the environment, tier
 * durable tries each power loss in more ways.
 */
typedef enum cafe_store_tier {
  CAFE_STORE_CORE = 1,        /* every store */
  CAFE_STORE_DURABLE = 2,     /* keeps what it acknowledged, whatever happens to process and power */
  CAFE_STORE_INSPECTABLE = 4, /* real tables with real columns */
  CAFE_STORE_SHARED = 8,      /* several nodes at once: no check yet */
  CAFE_STORE_BACKED_UP = 16   /* can be backed up while it is used, and restored */
} cafe_store_tier;

/* How a process that has the store ends. */
typedef enum cafe_store_ending {
  CAFE_STORE_CLOSED = 1,    /* in order: the store is destroyed */
  CAFE_STORE_KILLED = 2,    /* kill -9: nothing is closed, what was handed to the system is there */
  CAFE_STORE_POWER_LOST = 3 /* what wasn't synced is dropped, torn or reordered, by the seed */
} cafe_store_ending;

typedef enum cafe_store_io_fault {
  CAFE_STORE_IO_GONE = 1, /* call n and all later ones do nothing and fail, as when the power goes */
  CAFE_STORE_IO_FULL = 2, /* from call n on the disk is full, until disarmed */
  CAFE_STORE_IO_ERROR = 3 /* call n fails, once */
} cafe_store_io_fault;

typedef enum cafe_store_damage {
  CAFE_STORE_DAMAGE_EVENT = 1,   /* one bit of the data of the event at position n is another */
  CAFE_STORE_DAMAGE_TAIL = 2,    /* the last write is torn */
  CAFE_STORE_DAMAGE_JOURNAL = 3, /* one bit in the middle of what isn't yet in its final place (a WAL) */
  CAFE_STORE_DAMAGE_NEWER = 4,   /* the schema's version is higher than this library's */
  CAFE_STORE_DAMAGE_FOREIGN = 5  /* not a store of ours */
} cafe_store_damage;

/* One row that a query found; NULL for SQL's NULL, numbers in decimal, BLOBs in lower-case hexadecimal. */
typedef int (*cafe_store_query_sink)(uint32_t columns, const char *const *names, const char *const *values, void *user);

/* A backend under test. BORROW: while a check runs. At most one data set is in use at a time. */
typedef struct cafe_store_contract {
  size_t size;
  const char *name;     /* for messages */
  unsigned tiers;       /* cafe_store_tier, by or */
  bool is_inline;       /* as its cafe_store_ops say; else two threads are tried too */
  bool takes_allocator; /* it allocates from the one handed to create and restart */
  void *user;

  /* REQUIRED. A store without data, not opened. What an earlier create made is destroyed, and its data may be wiped.
   * allocator NULL: malloc. */
  int (*create)(cafe_store **out, const cafe_allocator *allocator, void *user, cafe_err *err);

  /* REQUIRED. Ends *store as told and replaces it by one with the same data, not opened. In tier core: CLOSED only, and
   * the same store may be handed back. A failure leaves NULL there. */
  int (*restart)(cafe_store **store, cafe_store_ending ending, uint64_t seed, const cafe_allocator *allocator,
                 void *user, cafe_err *err);

  /* REQUIRED in tier durable. Arms a fault for the n-th call (from 1) that changes, syncs or enlarges a file from now
   * on; 0 disarms. restart disarms too. */
  int (*fail_io)(cafe_store_io_fault fault, uint64_t n, void *user);

  /* REQUIRED in tier durable. Ends *store (CLOSED; KILLED for TAIL and JOURNAL), damages its data, and replaces it by a
   * store that isn't opened. CAFE_UNSUPPORTED: this backend can't have such damage. */
  int (*damage)(cafe_store **store, cafe_store_damage what, uint64_t n, void *user, cafe_err *err);

  /* REQUIRED in tiers durable and shared. A second store on the same data, as another process would have. OWN. */
  int (*rival)(cafe_store **out, void *user, cafe_err *err);

  /* REQUIRED in tier inspectable. Runs a query beside the open store, by means that aren't the library's. */
  int (*query)(const char *sql, cafe_store_query_sink on_row, void *row_user, void *user, cafe_err *err);

  /* REQUIRED in tier backed up. Where a backup can be made; create leaves nothing there. BORROW: while a check runs. */
  const char *backup_path;

  /* REQUIRED in tier backed up. Ends *store (CLOSED) and wipes its data, makes a store from the file at backup_path,
   * which stays, and replaces *store by it, not opened. A failure leaves NULL there. */
  int (*restore)(cafe_store **store, void *user, cafe_err *err);
} cafe_store_contract;

#define CAFE_STORE_CONTRACT_INIT                                                                                       \
  {                                                                                                                    \
    sizeof(cafe_store_contract), NULL, CAFE_STORE_CORE, false, false, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,  \
        NULL                                                                                                           \
  }

/* Why a check failed. */
#define CAFE_STORE_WHY_MAX 1024

/* The number of checks for this backend: those of its tiers, and of what it says that it can. 0 where a REQUIRED
 * function is missing. Since 0.1. */
CAFE_EXPORT uint32_t cafe_store_contract_count(const cafe_store_contract *contract);

/* The name of check `index`, a sentence in words_joined_by_underscores; NULL beyond the last. BORROW: a constant.
 * Since 0.1. */
CAFE_EXPORT const char *cafe_store_contract_name(const cafe_store_contract *contract, uint32_t index);

/* Runs one check. Returns true if it passed; else why says where the backend differs. Since 0.1. */
CAFE_EXPORT bool cafe_store_contract_check(char why[CAFE_STORE_WHY_MAX], const cafe_store_contract *contract,
                                           uint32_t index);

/* Runs all checks, each reported: why is NULL for one that passed. Returns the number of those that failed; 1 if there
 * are none to run. Since 0.1. */
CAFE_EXPORT uint32_t cafe_store_contract_run(const cafe_store_contract *contract,
                                             void (*report)(const char *check, const char *why, void *user),
                                             void *user);

CAFE_END_DECLS

#endif
