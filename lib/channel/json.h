/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHANNEL_JSON_H
#define CHANNEL_JSON_H

#include "cafe/sys/channel.h"

/* The inside of a JSON string (RFC 8259, section 7), with NUL. NULL: no memory. */
const char *json_escape(cafe_arena *arena, cafe_slice text);

/* The object that a receiver gets of a delivery, on one line, with NUL. NULL: no memory. */
const char *json_delivery(cafe_arena *arena, const cafe_delivery *delivery);

#endif
