/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAFE_CHANNEL_FILE_H
#define CAFE_CHANNEL_FILE_H

#include "cafe/shop.h"

CAFE_BEGIN_DECLS

/* Prints each message to standard output: channel "console". loop BORROW. OWN: cafe_channel_destroy. CAFE_NOMEM.
 * Since 0.1. */
CAFE_EXPORT int cafe_console_create(cafe_channel **out, cafe_loop *loop, const cafe_allocator *allocator,
                                    cafe_err *err);

/* Appends each message to a file, a JSON object on a line of its own: channel "file". A file that isn't there is made
 * by the first message, so that a program that can't start leaves none behind. path COPY. OWN: cafe_channel_destroy.
 * CAFE_NOMEM, CAFE_INVALID and CAFE_DENIED: it can't be opened, or its folder isn't there or can't be written.
 * Since 0.1. */
CAFE_EXPORT int cafe_file_channel_create(cafe_channel **out, cafe_loop *loop, const char *path,
                                         const cafe_allocator *allocator, cafe_err *err);

CAFE_END_DECLS

#endif
