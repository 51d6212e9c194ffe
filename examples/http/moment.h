/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HTTP_MOMENT_H
#define HTTP_MOMENT_H

#include "cafe/types.h"

/* The library knows UTC milliseconds only; a server fixes one zone at its start, and turns texts into moments here. */

/* Makes `zone` ("Asia/Seoul") the process's own. CAFE_INVALID where this machine doesn't know it. */
int moment_set_zone(const char *zone, cafe_err *err);

enum { MOMENT_MAX = 80 }; /* 25, were all numbers in range; the compiler counts on none */

/* Writes "2023-03-06T06:00:10.000Z". */
void moment_format(char out[MOMENT_MAX], int64_t ms);

/* Reads YYYYMMDDhhmmss in the process's zone, or RFC 3339. False for anything else, and for a time that no clock shows:
 * February 30th, or an hour that summer time skips. */
bool moment_parse(int64_t *out_ms, cafe_slice text);

#endif
