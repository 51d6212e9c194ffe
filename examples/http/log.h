/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HTTP_LOG_H
#define HTTP_LOG_H

#include "cafe/log.h"
#include "http/options.h"

/* A log to stderr as --log-level and --log-format want it, one in a process; it gives each line the time at which it is
 * written. service: the process, told in JSON. BORROW: a constant.
 * CAFE_INVALID names the option. */
int http_log_open(cafe_log *out, const option *options, const char *service, cafe_err *err);

/* Writes a line of a server's own. part BORROW: a constant. key 0: about no order; trace may be empty. What of the text
 * came from outside can't end the line. */
void http_log(const cafe_log *log, cafe_log_level level, const char *part, uint64_t key, cafe_slice trace,
              const char *format, ...) CAFE_PRINTF(6, 7);

/* One line of JSON, as it is written to stderr, in out[HTTP_LOG_LINE_MAX]; returns its size. */
enum { HTTP_LOG_LINE_MAX = 4096 };
size_t http_log_json(char *out, const cafe_log_record *record, const char *service);

#endif
