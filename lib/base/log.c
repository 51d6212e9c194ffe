/* SPDX-License-Identifier: Apache-2.0 */

/*
 * One record is one line: a line end in a text that came from outside would let its sender write records of his own.
 */
#include "base/log.h"

#include <stdarg.h>
#include <stddef.h>

#include "base/str.h"

enum { TEXT_MAX = 1001 };

void log_write(const cafe_log *log, cafe_log_level level, int64_t time_ms, const char *part, uint64_t key,
               cafe_slice trace, const char *format, ...) {
  if (!log_wants(log, level)) {
    return;
  }
  char text[TEXT_MAX];
  va_list args;
  va_start(args, format);
  size_t length = str_format(text, sizeof(text), format, args);
  va_end(args);
  for (size_t i = 0; i < length; i++) {
    if ((unsigned char)text[i] < 0x20u || text[i] == 0x7F) {
      text[i] = ' ';
    }
  }
  cafe_log_record record = {
      .size = sizeof(record),
      .level = level,
      .time_ms = time_ms,
      .part = part,
      .key = key,
      .trace = str_has_control(trace) ? (cafe_slice){NULL, 0} : trace,
      .text = text,
  };
  log->write(&record, log->user);
}
