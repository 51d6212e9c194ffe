/* SPDX-License-Identifier: Apache-2.0 */
/*
 * --log-format json: an object a line, so that whatever collects logs finds all of an order by `orderId` and all of a
 * request by `traceId`. A line goes out in one write, on the stack and without memory, since it may be about the lack of
 * it.
 *
 * A line's time is the one at which it is written, whoever writes it. The engine's own is that of its turn's begin, by a
 * clock that it set at its start: beside lines of the servers, times would go back and forth.
 */
#include "http/log.h"
#include "http/json.h"
#include "http/moment.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

enum { TEXT_MAX = 1024, TRACEPARENT_SIZE = 55, TRACE_ID_AT = 3, TRACE_ID_SIZE = 32 };

typedef struct line {
  char *bytes;
  size_t size;
} line;

/* Leaves room for what closes the line: the text is the last member and the only long one. */
static void add(line *to, const char *bytes, size_t size) {
  size_t room = HTTP_LOG_LINE_MAX - 8 - to->size;
  size = size < room ? size : room;
  memcpy(to->bytes + to->size, bytes, size);
  to->size += size;
}

static void add_name(line *to, const char *name) {
  add(to, to->size > 1 ? ",\"" : "\"", to->size > 1 ? 2 : 1);
  add(to, name, strlen(name));
  add(to, "\":", 2);
}

/* A line of the log is ours, whatever a client sends. */
static bool is_shown(char byte, bool is_utf8) {
  bool is_control = (unsigned char)byte < 0x20 || byte == 0x7F;
  return !is_control && (is_utf8 || (unsigned char)byte < 0x80);
}

static void add_text(line *to, const char *name, cafe_slice text) {
  bool is_utf8 = json_is_utf8(text);
  add_name(to, name);
  add(to, "\"", 1);
  for (size_t i = 0; i < text.size; i++) {
    char byte = is_shown(text.data[i], is_utf8) ? text.data[i] : '?';
    if (byte == '"' || byte == '\\') {
      add(to, "\\", 1);
    }
    add(to, &byte, 1);
  }
  add(to, "\"", 1);
}

size_t http_log_json(char *out, const cafe_log_record *record, const char *service) {
  static const char *const levels[] = {"", "error", "warn", "info", "debug"};
  char time[MOMENT_MAX];
  line to = {out, 0};
  moment_format(time, record->time_ms);
  add(&to, "{", 1);
  add_text(&to, "time", cafe_text(time));
  add_text(&to, "level", cafe_text(levels[record->level]));
  add_text(&to, "service", cafe_text(service));
  add_text(&to, "part", cafe_text(record->part ? record->part : "cafe"));
  if (record->key) {
    char digits[24];
    int size = snprintf(digits, sizeof digits, "%" PRIu64, record->key);
    add_name(&to, "orderId");
    add(&to, digits, (size_t)size);
  }
  if (record->trace.size == TRACEPARENT_SIZE) {
    add_text(&to, "traceId", (cafe_slice){record->trace.data + TRACE_ID_AT, TRACE_ID_SIZE});
    add_text(&to, "traceparent", record->trace);
  }
  add_text(&to, "msg", cafe_text(record->text));
  memcpy(out + to.size, "}\n", 2);
  return to.size + 2;
}

static void write_json(const cafe_log_record *record, void *user) {
  char bytes[HTTP_LOG_LINE_MAX];
  size_t size = http_log_json(bytes, record, *(const char *const *)user);
  (void)fwrite(bytes, 1, size, stderr);
}

static void write_now(const cafe_log_record *record, void *user) {
  const cafe_log *to = user;
  struct timespec now;
  (void)clock_gettime(CLOCK_REALTIME, &now);
  cafe_log_record timed = *record;
  timed.time_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
  to->write(&timed, to->user);
}

int http_log_open(cafe_log *out, const option *options, const char *service, cafe_err *err) {
  static const char *named;
  static cafe_log to;
  cafe_log_level level = CAFE_LOG_INFO;
  const char *format = option_value(options, "log-format");
  int code = option_log_level(&level, options, "log-level", err);
  if (code == CAFE_OK && strcmp(format, "text") != 0 && strcmp(format, "json") != 0) {
    code = cafe_fail(err, CAFE_INVALID, "%s%s: a format is text or json",
                     option_given_as(options, "log-format"), format);
  }
  if (code != CAFE_OK) {
    return code;
  }
  named = service;
  to = strcmp(format, "json") == 0 ? (cafe_log){write_json, &named, level} : cafe_log_stderr(level);
  *out = (cafe_log){write_now, &to, level};
  return CAFE_OK;
}

void http_log(const cafe_log *log, cafe_log_level level, const char *part, uint64_t key, cafe_slice trace,
              const char *format, ...) {
  if (!log->write || level > log->level) {
    return;
  }
  char text[TEXT_MAX];
  va_list arguments;
  va_start(arguments, format);
  (void)vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  bool is_utf8 = json_is_utf8(cafe_text(text));
  for (char *at = text; *at; at++) {
    *at = is_shown(*at, is_utf8) ? *at : '?';
  }
  cafe_log_record record = {.size = sizeof record,
                            .level = level,
                            .part = part,
                            .key = key,
                            .trace = trace,
                            .text = text};
  log->write(&record, log->user);
}
