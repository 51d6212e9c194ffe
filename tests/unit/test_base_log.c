/* SPDX-License-Identifier: Apache-2.0 */

/* A log gets what it asked for, one line a record, whatever the text quotes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"

typedef struct heard {
  int count;
  cafe_log_record record;
  char text[2000];
} heard;

static void hear(const cafe_log_record *record, void *user) {
  heard *h = user;
  h->count++;
  h->record = *record;
  snprintf(h->text, sizeof(h->text), "%s", record->text);
}

static void a_record_says_when_where_and_about_what(void **state) {
  heard h = {0};
  cafe_log log = {hear, &h, CAFE_LOG_INFO};
  log_write(&log, CAFE_LOG_WARN, 1234, "engine", 1041, cafe_text("00-ab-cd-01"), "late by %d ms", 7);
  assert_int_equal(h.count, 1);
  assert_int_equal(h.record.size, sizeof(cafe_log_record));
  assert_int_equal(h.record.level, CAFE_LOG_WARN);
  assert_true(h.record.time_ms == 1234);
  assert_string_equal(h.record.part, "engine");
  assert_true(h.record.key == 1041);
  assert_true(cafe_slice_equal(h.record.trace, cafe_text("00-ab-cd-01")));
  assert_string_equal(h.text, "late by 7 ms");
}

static void a_log_hears_its_levels_only(void **state) {
  for (int level = 0; level <= CAFE_LOG_DEBUG; level++) {
    heard h = {0};
    cafe_log log = {hear, &h, (cafe_log_level)level};
    for (int said = CAFE_LOG_ERROR; said <= CAFE_LOG_DEBUG; said++) {
      assert_int_equal(log_wants(&log, (cafe_log_level)said), said <= level);
      log_write(&log, (cafe_log_level)said, 0, "test", 0, (cafe_slice){NULL, 0}, "x");
    }
    assert_int_equal(h.count, level);
  }
}

static void no_log_hears_nothing(void **state) {
  cafe_log silent;
  memset(&silent, 0, sizeof(silent));
  log_write(&silent, CAFE_LOG_ERROR, 0, "test", 0, (cafe_slice){NULL, 0}, "x");
  log_write(NULL, CAFE_LOG_ERROR, 0, "test", 0, (cafe_slice){NULL, 0}, "x");
  assert_false(log_wants(&silent, CAFE_LOG_ERROR));
  assert_false(log_wants(NULL, CAFE_LOG_ERROR));
}

static void nobody_writes_lines_of_his_own(void **state) {
  heard h = {0};
  cafe_log log = {hear, &h, CAFE_LOG_INFO};
  log_write(&log, CAFE_LOG_INFO, 0, "test", 0, cafe_text("00\nforged"), "name '%s'", "x\r\nERROR\tforged\x1B[2J\x7F");
  assert_string_equal(h.text, "name 'x  ERROR forged [2J '");
  assert_int_equal(h.record.trace.size, 0);
}

static void a_long_text_is_cut(void **state) {
  heard h = {0};
  cafe_log log = {hear, &h, CAFE_LOG_INFO};
  char text[3000];
  memset(text, 'q', sizeof(text) - 1);
  text[sizeof(text) - 1] = '\0';
  log_write(&log, CAFE_LOG_INFO, 0, "test", 0, (cafe_slice){NULL, 0}, "%s", text);
  assert_int_equal(strlen(h.text), 1000);
}

static void stderr_gets_one_line_a_record(void **state) {
  FILE *file = tmpfile();
  assert_non_null(file);
  fflush(stderr);
  int saved = dup(STDERR_FILENO);
  assert_true(saved >= 0 && dup2(fileno(file), STDERR_FILENO) >= 0);
  cafe_log log = cafe_log_stderr(CAFE_LOG_DEBUG);
  log_write(&log, CAFE_LOG_ERROR, 951782400123, "sqlite", 1041, cafe_text("00-ab-cd-01"), "disk full");
  log_write(&log, CAFE_LOG_INFO, 0, "engine", 0, (cafe_slice){NULL, 0}, "started");
  log_write(&log, CAFE_LOG_WARN, -1, "tcp", 0, (cafe_slice){NULL, 0}, "slow peer");
  log_write(&log, CAFE_LOG_DEBUG, 0, NULL, 7, (cafe_slice){NULL, 0}, "details");
  log = cafe_log_stderr(CAFE_LOG_INFO);
  log_write(&log, CAFE_LOG_DEBUG, 0, "engine", 0, (cafe_slice){NULL, 0}, "not wanted");
  /* A record that another part of the program made. */
  char trace[200];
  memset(trace, 't', sizeof(trace));
  cafe_log_record record = {sizeof(record), CAFE_LOG_INFO, 0, "own", 0, {trace, sizeof(trace)}, "long trace"};
  log.write(&record, log.user);
  fflush(stderr);
  dup2(saved, STDERR_FILENO);
  close(saved);
  char written[1000] = "";
  rewind(file);
  size_t size = fread(written, 1, sizeof(written) - 1, file);
  fclose(file);
  written[size] = '\0';
  assert_string_equal(written, "2000-02-29T00:00:00.123Z error sqlite: key=1041 trace=00-ab-cd-01 disk full\n"
                               "1970-01-01T00:00:00.000Z info  engine: started\n"
                               "1969-12-31T23:59:59.999Z warn  tcp: slow peer\n"
                               "1970-01-01T00:00:00.000Z debug cafe: key=7 details\n"
                               "1970-01-01T00:00:00.000Z info  own: trace="
                               "tttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttttt long trace\n");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_record_says_when_where_and_about_what),
      cmocka_unit_test(a_log_hears_its_levels_only),
      cmocka_unit_test(no_log_hears_nothing),
      cmocka_unit_test(nobody_writes_lines_of_his_own),
      cmocka_unit_test(a_long_text_is_cut),
      cmocka_unit_test(stderr_gets_one_line_a_record),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
