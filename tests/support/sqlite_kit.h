/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SQLITE_KIT_H
#define SQLITE_KIT_H

#include "cafe/store/sqlite.h"
#include "cafe/sys/store.h"

/*
 * Units with numbers, from 1, whose content follows from the number: an event in each of two streams, and a row, all of
 * the key that is the number. So after any accident it can be said which units are there, and that each is whole.
 */
extern const cafe_table kit_table;
extern const cafe_store_setup kit_setup; /* owner "kit" */

/* Makes and opens a store. On failure *out is NULL. */
int kit_open(cafe_store **out, const char *path, const char *vfs, cafe_sqlite_sync sync, cafe_err *err);

/* Commits units first to first + count - 1 as one batch. `size` is that of each event's data, at least 16. */
int kit_commit(cafe_store *store, uint64_t first, uint32_t count, size_t size, cafe_err *err);

/* Reads everything by all ways: *units is the number of units there, 1 to *units. CAFE_CONFLICT with a text: something
 * is there that isn't right, though the store said nothing. */
int kit_read(cafe_store *store, uint64_t *units, cafe_err *err);

/* The same for a path: opens, reads, destroys. */
int kit_read_path(const char *path, uint64_t *units, cafe_err *err);

#endif
