/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A file that isn't what was written. Whatever a bit of it becomes, reading either says so or gives what was written;
 * and what is no store of ours is refused, and left as it is. With CAFE_FULL, more of the bits.
 */
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "sqlite_file.h"
#include "sqlite_kit.h"
#include "store/sqlite_store.h"

static const char origin[] = "damage-origin.db";
static const char path[] = "damage.db";

enum { UNITS = 60, PAGE = 4096 };

static bool is_full(void) {
  const char *value = getenv("CAFE_FULL");
  return value && value[0];
}

/* Closed, with events small and large enough for overflow pages, and indexes of several pages. */
static int set_up(void **state) {
  cafe_err err;
  cafe_store *store;
  sqlite_file_remove(origin);
  if (kit_open(&store, origin, NULL, CAFE_SQLITE_FULL, &err) != CAFE_OK) {
    fail_msg("%s", err.text);
  }
  for (unsigned i = 0; i < UNITS; i += 4) {
    if (kit_commit(store, i + 1, 4, i % 3 ? 200 : 5000, &err) != CAFE_OK) {
      fail_msg("%s", err.text);
    }
  }
  cafe_store_destroy(store);
  sqlite_file_copy(origin, path);
  return 0;
}

static int tear_down(void **state) {
  sqlite_file_remove(origin);
  sqlite_file_remove(path);
  return 0;
}

static int read_path(cafe_err *err) {
  uint64_t units;
  int code = kit_read_path(path, &units, err);
  return code == CAFE_OK && units != UNITS ? cafe_fail(err, CAFE_CONFLICT, "%llu units", (unsigned long long)units)
                                           : code;
}

/* A message that names the file and says what to do. */
static void expect_clear(const cafe_err *err) {
  if (!strstr(err->text, path) || !strstr(err->text, "estore")) {
    fail_msg("that isn't clear: %s", err->text);
  }
}

static void checksums_are_those_of_their_standards(void **state) {
  /* RFC 3720, appendix B.4, and the catalogue's check value. */
  char zeros[32] = {0};
  char ones[32];
  memset(ones, 0xff, sizeof(ones));
  assert_int_equal(sqlite_checksum_bytes("123456789", 9), 0xe3069283u);
  assert_int_equal(sqlite_checksum_bytes(zeros, sizeof(zeros)), 0x8a9136aau);
  assert_int_equal(sqlite_checksum_bytes(ones, sizeof(ones)), 0x62a8ab43u);
  assert_int_equal(sqlite_checksum_bytes("", 0), 0);
}

/* Whichever of the two ways the processor allows. */
static void a_checksum_is_the_same_by_instruction_and_by_tables(void **state) {
  char bytes[100];
  for (size_t i = 0; i < sizeof(bytes); i++) {
    bytes[i] = (char)(i * 37 + 11);
  }
  for (size_t from = 0; from < 9; from++) {
    for (size_t size = 0; from + size <= sizeof(bytes); size++) {
      assert_int_equal(sqlite_checksum_bytes(bytes + from, size), sqlite_checksum_by_tables(bytes + from, size));
    }
  }
}

/* Written today, read for ever. */
static void an_events_checksum_never_changes(void **state) {
  cafe_stored_event event = {.aggregate = "cup",
                             .type = "CupFilled",
                             .key = 7,
                             .version = 3,
                             .time_ms = 1700000000000,
                             .trace = cafe_text("trace"),
                             .data = {"\x93\x01\x02\x03", 4},
                             .n = 9};
  assert_int_equal(sqlite_checksum(&event), 0x3c712a65u);
  event.shard = 5;
  assert_int_equal(sqlite_checksum(&event), 0x3c712a65u);
  event.meta = (cafe_slice){"\x81\x01", 2};
  assert_int_equal(sqlite_checksum(&event), 0x8e5665cdu);
}

/* However an event's columns are cut into pieces on the way, it is the checksum of all of their bytes. */
static void an_events_checksum_is_that_of_its_columns_at_any_size(void **state) {
  static char data[2000];
  static unsigned char all[2200];
  for (size_t i = 0; i < sizeof(data); i++) {
    data[i] = (char)(i * 13 + 5);
  }
  for (size_t size = 0; size <= sizeof(data); size++) {
    cafe_stored_event event = {
        .aggregate = "cup", .type = "CupFilled", .key = 7, .version = 3, .time_ms = 5, .data = {data, size}, .n = 9};
    const uint64_t numbers[] = {9, 7, 3, 5, 3};
    const struct {
      uint64_t size;
      const char *bytes;
    } slices[] = {{9, "CupFilled"}, {0, ""}, {size, data}};
    size_t used = 0;
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++, used += 8) {
      memset(all + used, 0, 8);
      all[used] = (unsigned char)numbers[i];
    }
    memcpy(all + used, "cup", 3);
    used += 3;
    for (size_t i = 0; i < sizeof(slices) / sizeof(slices[0]); i++) {
      memset(all + used, 0, 8);
      all[used] = (unsigned char)slices[i].size;
      all[used + 1] = (unsigned char)(slices[i].size >> 8);
      memcpy(all + used + 8, slices[i].bytes, slices[i].size);
      used += 8 + slices[i].size;
    }
    assert_int_equal(sqlite_checksum(&event), sqlite_checksum_by_tables(all, used));
  }
}

static void expect_corrupt_at(uint64_t position, const char *what) {
  cafe_err err;
  uint64_t units;
  char number[32];
  snprintf(number, sizeof(number), "%llu", (unsigned long long)position);
  int code = kit_read_path(path, &units, &err);
  if (code != CAFE_CORRUPT || !strstr(err.text, number)) {
    fail_msg("%s: %s: %s", what, cafe_code_name(code), code ? err.text : "");
  }
  expect_clear(&err);
}

/* X9: damage in a row is refused, with a clear message. */
static void every_column_of_an_event_is_guarded(void **state) {
  static const char *const changes[] = {
      "\"key\" = 1000",        "aggregate = 'cupp'",      "version = 2",  "type = 'CupFilles'",
      "time_ms = time_ms + 1", "trace = 'tracf'",         "trace = NULL", "data = zeroblob(length(data))",
      "data = data || x'00'",  "checksum = checksum + 1", "meta = NULL",  "meta = x'00'",
  };
  for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
    char sql[160];
    snprintf(sql, sizeof(sql), "UPDATE events SET %s WHERE position = 33", changes[i]);
    sqlite_file_copy(origin, path);
    sqlite_file_exec(path, sql);
    expect_corrupt_at(33, changes[i]);
  }
}

/* X9: so is a row that is gone. */
static void a_missing_event_is_noticed(void **state) {
  static const unsigned positions[] = {1, 33, 2 * UNITS - 1};
  for (size_t i = 0; i < sizeof(positions) / sizeof(positions[0]); i++) {
    char sql[80];
    snprintf(sql, sizeof(sql), "DELETE FROM events WHERE position = %u", positions[i]);
    sqlite_file_copy(origin, path);
    sqlite_file_exec(path, sql);
    expect_corrupt_at(positions[i], sql);
  }
}

/* X9: a flipped bit anywhere in the file. Tables, indexes, overflow pages, the header, free space: whatever the page
 * is, its checksum has all of it. */
static void no_flipped_bit_goes_unnoticed(void **state) {
  size_t size = 0;
  unsigned char *bytes = sqlite_file_read(origin, &size);
  assert_non_null(bytes);
  free(bytes);
  assert_true(size > 30 * PAGE);
  unsigned refused = 0;
  unsigned tried = 0;
  size_t stride = is_full() ? 41 : 1021;
  for (size_t at = 0; at < size; at += stride) {
    cafe_err err;
    sqlite_file_copy(origin, path);
    sqlite_file_flip(path, at, (unsigned)(at % 8));
    int code = read_path(&err);
    if (code != CAFE_CORRUPT && code != CAFE_OK) {
      fail_msg("byte %zu of page %zu: %s: %s", at % PAGE, at / PAGE + 1, cafe_code_name(code), err.text);
    }
    if (code == CAFE_CORRUPT) {
      expect_clear(&err);
      refused++;
    }
    tried++;
  }
  /* All pages are in use but a few that the file's growing left free. */
  assert_true(refused * 100 >= tried * 95);
}

/* X9: and in its header. */
static void every_byte_of_the_header_is_guarded(void **state) {
  for (size_t at = 0; at < 100; at++) {
    cafe_err err;
    sqlite_file_copy(origin, path);
    sqlite_file_flip(path, at, (unsigned)(at % 8));
    int code = read_path(&err);
    if (code != CAFE_CORRUPT) {
      fail_msg("byte %zu: %s: %s", at, cafe_code_name(code), code ? err.text : "");
    }
    expect_clear(&err);
  }
}

static void a_page_in_the_place_of_another_is_noticed(void **state) {
  size_t size = 0;
  unsigned char *bytes = sqlite_file_read(origin, &size);
  assert_non_null(bytes);
  size_t refused = 0;
  for (size_t page = 1; page + 1 < size / PAGE; page++) {
    cafe_err err;
    unsigned char *swapped = malloc(size);
    assert_non_null(swapped);
    memcpy(swapped, bytes, size);
    memcpy(swapped + page * PAGE, bytes + (page + 1) * PAGE, PAGE);
    memcpy(swapped + (page + 1) * PAGE, bytes + page * PAGE, PAGE);
    sqlite_file_write(path, swapped, size);
    free(swapped);
    int code = read_path(&err);
    if (code != CAFE_CORRUPT && code != CAFE_OK) {
      fail_msg("pages %zu and %zu: %s: %s", page + 1, page + 2, cafe_code_name(code), err.text);
    }
    refused += code == CAFE_CORRUPT;
  }
  /* The tables of keys and checkpoints are empty, and nobody reads them here. */
  assert_true(refused + 4 >= size / PAGE - 2);
  free(bytes);
}

/* As newer releases of SQLite read overflow pages: a part of one, of whatever size, past their cache. */
static void a_part_of_a_page_is_verified_too(void **state) {
  static const int sizes[] = {5, 300, 512, 4088};
  unsigned char part[PAGE];
  size_t size = 0;
  unsigned char *bytes = sqlite_file_read(path, &size);
  assert_non_null(bytes);
  sqlite_pages *pages = sqlite_pages_create(sqlite3_vfs_find(NULL), cafe_allocator_default());
  assert_non_null(pages);
  sqlite3 *db = NULL;
  sqlite3_file *file = NULL;
  assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, sqlite_pages_name(pages)), SQLITE_OK);
  assert_int_equal(sqlite3_file_control(db, "main", SQLITE_FCNTL_FILE_POINTER, &file), SQLITE_OK);
  for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
    assert_int_equal(file->pMethods->xRead(file, part, sizes[i], 2 * PAGE), SQLITE_OK);
    assert_memory_equal(part, bytes + 2 * PAGE, (size_t)sizes[i]);
  }
  assert_int_equal(file->pMethods->xRead(file, part, 8, 3 * PAGE - 4), SQLITE_IOERR_DATA);
  sqlite_file_flip(path, 2 * PAGE + 4000, 1);
  for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
    assert_int_equal(file->pMethods->xRead(file, part, sizes[i], 2 * PAGE), SQLITE_IOERR_DATA);
  }
  assert_int_equal(sqlite3_close(db), SQLITE_OK);
  sqlite_pages_destroy(pages);
  free(bytes);
}

static void a_shortened_file_is_refused(void **state) {
  size_t size = 0;
  unsigned char *bytes = sqlite_file_read(origin, &size);
  assert_non_null(bytes);
  for (size_t left = PAGE / 2; left < size; left += 3 * PAGE + 100) {
    cafe_err err;
    sqlite_file_write(path, bytes, left);
    int code = read_path(&err);
    if (code != CAFE_CORRUPT) {
      fail_msg("%zu bytes: %s: %s", left, cafe_code_name(code), code ? err.text : "");
    }
    expect_clear(&err);
  }
  free(bytes);
}

/* Refused with this code, and every byte as it was, with nothing left beside it. */
static void expect_untouched(int wanted, const char *what) {
  cafe_err err;
  size_t before = 0;
  size_t after = 0;
  unsigned char *old = sqlite_file_read(path, &before);
  int code = read_path(&err);
  if (code != wanted) {
    fail_msg("%s: %s: %s", what, cafe_code_name(code), code ? err.text : "");
  }
  unsigned char *now = sqlite_file_read(path, &after);
  assert_true(old && now && before == after && memcmp(old, now, before) == 0);
  assert_int_equal(access("damage.db-lock", F_OK), -1);
  assert_int_equal(access("damage.db-wal", F_OK), -1);
  free(old);
  free(now);
}

static void foreign_files_are_refused_and_left_alone(void **state) {
  char text[9000];
  memset(text, 'x', sizeof(text));
  sqlite_file_write(path, text, sizeof(text));
  expect_untouched(CAFE_INVALID, "text");
  sqlite_file_write(path, text, 10);
  expect_untouched(CAFE_INVALID, "a little text");
  static const char *const schemas[] = {
      "CREATE TABLE t(a)",
      "PRAGMA application_id = 17; CREATE TABLE events(position)",
      "PRAGMA user_version = 3",
      "PRAGMA journal_mode = WAL; CREATE TABLE t(a)",
  };
  for (size_t i = 0; i < sizeof(schemas) / sizeof(schemas[0]); i++) {
    sqlite3 *db = NULL;
    sqlite_file_remove(path);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, schemas[i], NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    expect_untouched(CAFE_INVALID, schemas[i]);
  }
}

static void another_schema_is_refused_and_left_alone(void **state) {
  cafe_err err;
  sqlite_file_exec(path, "PRAGMA user_version = 3");
  expect_untouched(CAFE_UNSUPPORTED, "a newer schema");
  sqlite_file_exec(path, "PRAGMA user_version = 1");
  expect_untouched(CAFE_UNSUPPORTED, "a schema of before 0.1");
  assert_int_equal(read_path(&err), CAFE_UNSUPPORTED);
  assert_non_null(strstr(err.text, "name another file"));
}

static void a_file_with_other_partitions_is_refused_and_left_alone(void **state) {
  cafe_err err;
  sqlite_file_exec(path, "UPDATE meta SET value = 128 WHERE name = 'partitions'");
  expect_untouched(CAFE_UNSUPPORTED, "128 partitions");
  assert_int_equal(read_path(&err), CAFE_UNSUPPORTED);
  assert_non_null(strstr(err.text, "128 partitions"));
  sqlite_file_exec(path, "DELETE FROM meta WHERE name = 'partitions'");
  expect_untouched(CAFE_CORRUPT, "no number of partitions");
}

/* Rows that a hand has changed so that no store could have written them. */
static void a_row_of_another_type_is_refused(void **state) {
  sqlite_file_exec(path, "UPDATE things SET number = 'four' WHERE thing_id = 4");
  cafe_err err;
  assert_int_equal(read_path(&err), CAFE_CORRUPT);
  assert_non_null(strstr(err.text, "things"));
  assert_non_null(strstr(err.text, "number"));
  sqlite_file_copy(origin, path);
  sqlite_file_exec(path, "UPDATE things SET text = x'ff' WHERE thing_id = 4");
  assert_int_equal(read_path(&err), CAFE_CORRUPT);
  sqlite_file_copy(origin, path);
  sqlite_file_exec(path, "UPDATE things SET text = CAST(x'ff' AS TEXT) WHERE thing_id = 4");
  assert_int_equal(read_path(&err), CAFE_CORRUPT);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(checksums_are_those_of_their_standards),
      cmocka_unit_test(a_checksum_is_the_same_by_instruction_and_by_tables),
      cmocka_unit_test(an_events_checksum_is_that_of_its_columns_at_any_size),
      cmocka_unit_test(an_events_checksum_never_changes),
      cmocka_unit_test_setup_teardown(every_column_of_an_event_is_guarded, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_missing_event_is_noticed, set_up, tear_down),
      cmocka_unit_test_setup_teardown(no_flipped_bit_goes_unnoticed, set_up, tear_down),
      cmocka_unit_test_setup_teardown(every_byte_of_the_header_is_guarded, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_page_in_the_place_of_another_is_noticed, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_part_of_a_page_is_verified_too, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_shortened_file_is_refused, set_up, tear_down),
      cmocka_unit_test_setup_teardown(foreign_files_are_refused_and_left_alone, set_up, tear_down),
      cmocka_unit_test_setup_teardown(another_schema_is_refused_and_left_alone, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_file_with_other_partitions_is_refused_and_left_alone, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_row_of_another_type_is_refused, set_up, tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
