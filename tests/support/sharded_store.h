/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHARDED_STORE_H
#define SHARDED_STORE_H

#include "cafe/sys/store.h"

enum { SHARDED_SHARDS = 3 };

/* A store that shows the log of another one as several shards, and has none of the methods that are optional. For a
 * simulated loop: it has no lock. inner BORROW. Any failure to make it ends the program. */
cafe_store *sharded_store_create(cafe_store *inner);

#endif
