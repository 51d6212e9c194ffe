/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NOTEBOOK_H
#define NOTEBOOK_H

#include <cafe/sys/store.h>

/* A store in memory, gone with the process; it may be opened again and again. allocator NULL: malloc; otherwise COPY.
 * OWN: cafe_store_destroy. CAFE_NOMEM, CAFE_UNAVAILABLE (no random number for the log's name). */
int notebook_create(cafe_store **out, const cafe_allocator *allocator, cafe_err *err);

#endif
