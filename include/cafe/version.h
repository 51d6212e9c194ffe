/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAFE_VERSION_H
#define CAFE_VERSION_H

#include "cafe/export.h"

#define CAFE_VERSION_MAJOR 0
#define CAFE_VERSION_MINOR 1
#define CAFE_VERSION_PATCH 0
#define CAFE_VERSION       "0.1.0"

CAFE_BEGIN_DECLS

/* The version of the library that is linked, which may differ from CAFE_VERSION, the version of these headers.
 * BORROW: a constant. THREADSAFE. Since 0.1. */
CAFE_EXPORT const char *cafe_version(void);

CAFE_END_DECLS

#endif
