/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "cafe/log.h"

/* Whether a record of that level is made. For who would have to work for its text. log may be NULL. */
static inline bool log_wants(const cafe_log *log, cafe_log_level level) {
  return log && log->write && level <= log->level;
}

/* Makes a record and hands it to the log, if it wants it. time_ms is UTC: the pure layers have no clock. part is
 * static; key 0: about none; trace may be empty. Control characters in the text become spaces, and what is longer than
 * 1000 bytes is cut. log may be NULL. */
void log_write(const cafe_log *log, cafe_log_level level, int64_t time_ms, const char *part, uint64_t key,
               cafe_slice trace, const char *format, ...) CAFE_PRINTF(7, 8);

#endif
