/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "cafe/sys/store.h"

/* A new log id: random, from 1 to CAFE_KEY_MAX, so that every field table and every JSON reader holds it.
 * CAFE_UNAVAILABLE where the system gives no random bytes. */
int store_random_id(uint64_t *out, cafe_err *err);

/* Whether the batch is one at all: keys in range and in the unit's partition, versions of a stream consecutive within a
 * unit, removals of rows that are there, keys and checkpoints well formed. CAFE_INVALID names the unit. Says nothing
 * about conflicts. */
int store_batch_check(const cafe_batch *batch, cafe_err *err);

/* The reaction to a client key that is there: whether this write takes it over, or replies to it, instead of
 * conflicting. */
bool store_key_is_free(const cafe_key_write *write, uint64_t holder, bool has_reply);

#endif
