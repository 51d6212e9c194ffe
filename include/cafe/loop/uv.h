/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAFE_LOOP_UV_H
#define CAFE_LOOP_UV_H

#include <uv.h>

#include "cafe/node.h"

CAFE_BEGIN_DECLS

/* Makes a loop on libuv. uv NULL: on a uv_loop_t of its own; otherwise on the caller's (BORROW), whose thread is the
 * loop thread, and which the caller may also run by uv_run (a node that runs keeps it alive); cafe_loop_destroy then
 * only begins to close its handles, as uv_close does, and the caller's next uv_run ends it: keep the allocator until
 * then. OWN: cafe_loop_destroy, which stops its threads. CAFE_NOMEM, CAFE_UNAVAILABLE. Since 0.1. */
CAFE_EXPORT int cafe_uv_create(cafe_loop **out, uv_loop_t *uv, const cafe_allocator *allocator, cafe_err *err);

CAFE_END_DECLS

#endif
