/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The one place below the adapters that writes anywhere, and a file of its own for that: whoever wants another log
 * never calls it. A record is one call to stdio, so that lines of two threads don't mix.
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/date.h"
#include "cafe/log.h"

static const char *level_name(cafe_log_level level) {
  switch (level) {
  case CAFE_LOG_ERROR:
    return "error";
  case CAFE_LOG_WARN:
    return "warn";
  case CAFE_LOG_INFO:
    return "info";
  default:
    return "debug";
  }
}

static void write_line(const cafe_log_record *record, void *user) {
  (void)user;
  char time[DATE_TEXT_MAX];
  date_format(time, record->time_ms);
  char key[32] = "";
  if (record->key) {
    snprintf(key, sizeof(key), " key=%" PRIu64, record->key);
  }
  /* A traceparent has 55 bytes; what pretends to be one and is longer is nobody's. */
  int trace_size = record->trace.size > 64 ? 64 : (int)record->trace.size;
  fprintf(stderr, "%s %-5s %s:%s%s%.*s %s\n", time, level_name(record->level), record->part ? record->part : "cafe",
          key, trace_size ? " trace=" : "", trace_size, trace_size ? record->trace.data : "", record->text);
}

cafe_log cafe_log_stderr(cafe_log_level level) {
  cafe_log log = {write_line, NULL, level};
  return log;
}
