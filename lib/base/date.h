/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_DATE_H
#define BASE_DATE_H

#include <stdint.h>

#define DATE_TEXT_MAX 40

/* RFC 3339 in UTC with milliseconds and Z: "2026-01-31T08:00:00.000Z". Any time; a year beyond 9999 has more digits. */
void date_format(char out[DATE_TEXT_MAX], int64_t time_ms);

#endif
