/* SPDX-License-Identifier: Apache-2.0 */

/* What stands in the way of opening a store: another process, the folder, permissions, a setup that doesn't fit. Each
 * is told as what it is. And opening costs the same, however long the log. */
#include <setjmp.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "disk_vfs.h"
#include "sqlite_file.h"
#include "sqlite_kit.h"
#include "store/sqlite_store.h"

static const char path[] = "open.db";

static int set_up(void **state) {
  sqlite_file_remove(path);
  return 0;
}

static int tear_down(void **state) {
  sqlite_file_remove(path);
  return 0;
}

static cafe_store *must_open(const char *name) {
  cafe_err err;
  cafe_store *store;
  if (kit_open(&store, name, NULL, CAFE_SQLITE_FULL, &err) != CAFE_OK) {
    fail_msg("%s", err.text);
  }
  return store;
}

static void expect_failure(const char *name, int wanted, const char *text) {
  cafe_err err;
  cafe_store *store;
  int code = kit_open(&store, name, NULL, CAFE_SQLITE_FULL, &err);
  if (code != wanted || err.code != wanted || !strstr(err.text, text)) {
    fail_msg("%s: %s instead of %s: %s", name, cafe_code_name(code), cafe_code_name(wanted), code ? err.text : "");
  }
}

/* ---- another process ---- */

/* A child that has the store open, and says so. */
static pid_t hold(int *in) {
  int ends[2];
  assert_int_equal(pipe(ends), 0);
  fflush(NULL);
  pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    cafe_err err;
    cafe_store *store;
    if (kit_open(&store, path, NULL, CAFE_SQLITE_FULL, &err) != CAFE_OK ||
        kit_commit(store, 1, 1, 100, &err) != CAFE_OK || write(ends[1], "x", 1) != 1) {
      _exit(1);
    }
    for (;;) {
      pause();
    }
  }
  close(ends[1]);
  char byte;
  assert_int_equal(read(ends[0], &byte, 1), 1);
  *in = ends[0];
  return child;
}

static void a_second_process_is_told_who_has_the_store(void **state) {
  int in;
  char text[64];
  pid_t child = hold(&in);
  snprintf(text, sizeof(text), "in use by kit, process %ld: stop it", (long)child);
  expect_failure(path, CAFE_DENIED, text);
  expect_failure(path, CAFE_DENIED, text);
  assert_int_equal(symlink(path, "open-link.db"), 0);
  expect_failure("open-link.db", CAFE_DENIED, text);
  unlink("open-link.db");
  /* A crash leaves no lock behind. */
  kill(child, SIGKILL);
  assert_int_equal(waitpid(child, NULL, 0), child);
  close(in);
  uint64_t units;
  cafe_err err;
  assert_int_equal(kit_read_path(path, &units, &err), CAFE_OK);
  assert_int_equal(units, 1);
}

static void a_second_store_in_the_same_process_is_denied(void **state) {
  cafe_store *store = must_open(path);
  expect_failure(path, CAFE_DENIED, "in use by kit");
  cafe_store_destroy(store);
  cafe_store_destroy(must_open(path));
  assert_int_equal(access("open.db-lock", F_OK), -1);
  assert_int_equal(access("open.db-wal", F_OK), -1);
}

static void an_open_store_is_not_opened_again(void **state) {
  cafe_err err;
  cafe_store_info info = CAFE_STORE_INFO_INIT;
  cafe_store *store = must_open(path);
  assert_int_equal(store->ops->open(store, &info, &kit_setup, &err), CAFE_INVALID);
  assert_int_equal(kit_commit(store, 1, 1, 100, &err), CAFE_OK);
  cafe_store_destroy(store);
}

static void a_failed_open_may_be_repeated(void **state) {
  cafe_err err;
  cafe_store_info info = CAFE_STORE_INFO_INIT;
  cafe_store *first = must_open(path);
  cafe_store *second;
  assert_int_equal(cafe_sqlite_create(&second, path, NULL, &err), CAFE_OK);
  assert_int_equal(kit_commit(second, 1, 1, 100, &err), CAFE_INVALID);
  assert_int_equal(second->ops->open(second, &info, &kit_setup, &err), CAFE_DENIED);
  cafe_store_destroy(first);
  assert_int_equal(second->ops->open(second, &info, &kit_setup, &err), CAFE_OK);
  assert_int_equal(kit_commit(second, 1, 1, 100, &err), CAFE_OK);
  cafe_store_destroy(second);
}

/* ---- the place ---- */

static void a_folder_is_no_file(void **state) {
  assert_int_equal(mkdir("folder.db", 0755), 0);
  expect_failure("folder.db", CAFE_INVALID, "folder.db is a folder: name a file.");
  assert_int_equal(access("folder.db-lock", F_OK), -1);
  assert_int_equal(rmdir("folder.db"), 0);
}

static void a_missing_folder_is_named(void **state) {
  expect_failure("no-such-folder/open.db", CAFE_NOT_FOUND, "no-such-folder/open.db");
  sqlite_file_write(path, "x", 1);
  expect_failure("open.db/inside.db", CAFE_INVALID, "open.db/inside.db");
}

static void what_is_no_path_is_refused(void **state) {
  cafe_err err;
  cafe_store *store = NULL;
  cafe_sqlite_options options = CAFE_SQLITE_OPTIONS_INIT;
  assert_int_equal(cafe_sqlite_create(&store, NULL, NULL, &err), CAFE_INVALID);
  assert_int_equal(cafe_sqlite_create(&store, "", NULL, &err), CAFE_INVALID);
  assert_int_equal(cafe_sqlite_create(&store, ":memory:", NULL, &err), CAFE_INVALID);
  options.sync = (cafe_sqlite_sync)7;
  assert_int_equal(cafe_sqlite_create(&store, path, &options, &err), CAFE_INVALID);
  assert_null(store);
  char longer[6000];
  memset(longer, 'x', sizeof(longer) - 1);
  longer[sizeof(longer) - 1] = '\0';
  expect_failure(longer, CAFE_INVALID, "no path of a file");
  assert_int_equal(kit_open(&store, path, "no-such-vfs", CAFE_SQLITE_FULL, &err), CAFE_INVALID);
}

static void network_file_systems_are_known(void **state) {
  static const unsigned long remote[] = {0x6969, 0x517b, 0xff534d42, 0xfe534d42, 0x01021997, 0x00c36400};
  static const unsigned long local[] = {0xef53 /* ext */,       0x58465342 /* XFS */,     0x9123683e /* Btrfs */,
                                        0x01021994 /* tmpfs */, 0x794c7630 /* overlay */, 0x65735546 /* FUSE */};
  for (size_t i = 0; i < sizeof(remote) / sizeof(remote[0]); i++) {
    assert_true(sqlite_is_remote(remote[i]));
  }
  for (size_t i = 0; i < sizeof(local) / sizeof(local[0]); i++) {
    assert_false(sqlite_is_remote(local[i]));
  }
  /* As a signed 32-bit f_type has it. */
  assert_true(sqlite_is_remote((unsigned long)(long)(int32_t)0xff534d42));
}

/* Permissions mean nothing to root, so a child gives that up. Exits 0 if the store is denied. */
static int open_as_somebody(const char *name) {
  fflush(NULL);
  pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    if (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0)) {
      _exit(3);
    }
    cafe_err err;
    cafe_store *store;
    int code = kit_open(&store, name, NULL, CAFE_SQLITE_FULL, &err);
    _exit(code == CAFE_DENIED && strstr(err.text, name) && strstr(err.text, "writable for this user") ? 0 : 1);
  }
  int status;
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_true(WIFEXITED(status));
  return WEXITSTATUS(status);
}

static void a_missing_permission_is_told(void **state) {
  char folder[] = "/tmp/cafe-open-XXXXXX";
  char name[64];
  char lock[80];
  assert_non_null(mkdtemp(folder));
  snprintf(name, sizeof(name), "%s/open.db", folder);
  snprintf(lock, sizeof(lock), "%s-lock", name);
  cafe_store_destroy(must_open(name));
  /* The folder: no lock file can be made. */
  assert_int_equal(chmod(folder, 0555), 0);
  assert_int_equal(open_as_somebody(name), 0);
  /* The file. */
  assert_int_equal(chmod(folder, 0777), 0);
  assert_int_equal(chmod(name, 0444), 0);
  assert_int_equal(open_as_somebody(name), 0);
  assert_int_equal(chmod(name, 0), 0);
  assert_int_equal(open_as_somebody(name), 0);
  assert_int_equal(access(lock, F_OK), -1);
  sqlite_file_remove(name);
  rmdir(folder);
}

/* ---- the setup ---- */

typedef struct row {
  int64_t number;
  cafe_slice text;
} row;

static const cafe_field fields[] = {CAFE_FIELD_OF(1, I64, row, number), CAFE_FIELD_OF(2, TEXT, row, text)};
static const cafe_schema type = CAFE_SCHEMA_OF("Row", row, fields);
static const cafe_field number_fields[] = {CAFE_FIELD_OF(1, TEXT, row, text)};
static const cafe_schema number_as_text = CAFE_SCHEMA_OF("Row", row, number_fields);

static void expect_setup(const cafe_table *first, const cafe_table *second, int wanted, const char *text) {
  cafe_err err;
  cafe_store *store;
  cafe_store_info info = CAFE_STORE_INFO_INIT;
  const cafe_table *tables[] = {first, second, NULL};
  cafe_store_setup setup = {sizeof(setup), "kit", tables};
  assert_int_equal(cafe_sqlite_create(&store, path, NULL, &err), CAFE_OK);
  int code = store->ops->open(store, &info, &setup, &err);
  if (code != wanted || (code && !strstr(err.text, text))) {
    fail_msg("%s: %s: %s", text, cafe_code_name(code), code ? err.text : "");
  }
  cafe_store_destroy(store);
}

static void tables_that_cannot_be_are_refused(void **state) {
  static const char *const indexes[] = {"other", NULL};
  const cafe_table good = {"good", "id", NULL, &type, NULL, false};
  const cafe_table twin = {"Good", "id", NULL, &type, NULL, false};
  const cafe_table unnamed = {"", "id", NULL, &type, NULL, false};
  const cafe_table rowless = {"rowless", "id", NULL, NULL, NULL, false};
  const cafe_table own = {"Events", "id", NULL, &type, NULL, false};
  const cafe_table sqlites = {"sqlite_x", "id", NULL, &type, NULL, false};
  const cafe_table same_key = {"t", "Number", NULL, &type, NULL, false};
  const cafe_table same_keys = {"t", "id", "id", &type, NULL, false};
  const cafe_table version_key = {"t", "row_version", NULL, &type, NULL, false};
  const cafe_table no_column = {"t", "id", NULL, &type, indexes, false};
  expect_setup(&good, &twin, CAFE_INVALID, "Good");
  expect_setup(&unnamed, NULL, CAFE_INVALID, "name");
  expect_setup(&rowless, NULL, CAFE_INVALID, "row");
  expect_setup(&own, NULL, CAFE_INVALID, "Events");
  expect_setup(&sqlites, NULL, CAFE_INVALID, "sqlite_x");
  expect_setup(&same_key, NULL, CAFE_INVALID, "Number");
  expect_setup(&same_keys, NULL, CAFE_INVALID, "id");
  expect_setup(&version_key, NULL, CAFE_INVALID, "row_version");
  expect_setup(&no_column, NULL, CAFE_INVALID, "other");
  expect_setup(&good, NULL, CAFE_OK, "good");
}

static void a_table_that_has_changed_its_kind_is_refused(void **state) {
  const cafe_table plain = {"t", "id", NULL, &type, NULL, false};
  const cafe_table other_key = {"t", "other_id", NULL, &type, NULL, false};
  const cafe_table with_sub = {"t", "id", "line", &type, NULL, false};
  static const cafe_field retyped_fields[] = {CAFE_FIELD_OF(1, I64, row, number)};
  static const cafe_schema retyped = CAFE_SCHEMA_OF("Row", row, retyped_fields);
  const cafe_table text_first = {"u", "id", NULL, &number_as_text, NULL, false};
  cafe_table number_later = {"u", "id", NULL, &retyped, NULL, false};
  expect_setup(&plain, &text_first, CAFE_OK, "t");
  expect_setup(&other_key, NULL, CAFE_INVALID, "other_id");
  expect_setup(&with_sub, NULL, CAFE_INVALID, "line");
  /* A column is added; the same name with another type is refused. */
  expect_setup(&number_later, NULL, CAFE_OK, "u");
  static const cafe_field text_fields[] = {{.number = 1,
                                            .type = CAFE_FIELD_BYTES,
                                            .offset = offsetof(row, text),
                                            .width = sizeof(cafe_slice),
                                            .name = "text"}};
  static const cafe_schema bytes = CAFE_SCHEMA_OF("Row", row, text_fields);
  number_later.row = &bytes;
  expect_setup(&number_later, NULL, CAFE_INVALID, "text");
  expect_setup(&plain, &text_first, CAFE_OK, "t");
}

static void names_that_are_words_of_sql_are_fine(void **state) {
  static const char *const indexes[] = {"order", NULL};
  static const cafe_field odd_fields[] = {
      {.number = 1, .type = CAFE_FIELD_I64, .offset = offsetof(row, number), .width = sizeof(int64_t), .name = "order"},
      {.number = 2,
       .type = CAFE_FIELD_TEXT,
       .offset = offsetof(row, text),
       .width = sizeof(cafe_slice),
       .name = "from"},
  };
  static const cafe_schema odd = CAFE_SCHEMA_OF("Row", row, odd_fields);
  const cafe_table odd_table = {"select", "key", "group", &odd, indexes, true};
  expect_setup(&odd_table, NULL, CAFE_OK, "");
  expect_setup(&odd_table, NULL, CAFE_OK, "");
}

/* ---- the cost ---- */

static uint64_t reads_of_an_open(uint64_t units) {
  cafe_err err;
  cafe_store *store;
  sqlite_file_remove(path);
  store = must_open(path);
  for (uint64_t first = 1; first <= units; first += 250) {
    assert_int_equal(kit_commit(store, first, 250, 300, &err), CAFE_OK);
  }
  cafe_store_destroy(store);
  disk_begin(path);
  disk_arm_read(0);
  assert_int_equal(kit_open(&store, path, DISK_VFS, CAFE_SQLITE_FULL, &err), CAFE_OK);
  uint64_t reads = disk_reads();
  cafe_store_destroy(store);
  disk_end();
  return reads;
}

/* Of pages; some of them are those on the way from the root of a tree to its end. */
static void opening_reads_as_much_however_long_the_log(void **state) {
  uint64_t few = reads_of_an_open(250);
  uint64_t many = reads_of_an_open(20000);
  assert_true(few > 0 && few < 60);
  assert_true(many <= few + 8);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(a_second_process_is_told_who_has_the_store, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_second_store_in_the_same_process_is_denied, set_up, tear_down),
      cmocka_unit_test_setup_teardown(an_open_store_is_not_opened_again, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_failed_open_may_be_repeated, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_folder_is_no_file, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_missing_folder_is_named, set_up, tear_down),
      cmocka_unit_test_setup_teardown(what_is_no_path_is_refused, set_up, tear_down),
      cmocka_unit_test(network_file_systems_are_known),
      cmocka_unit_test_setup_teardown(a_missing_permission_is_told, set_up, tear_down),
      cmocka_unit_test_setup_teardown(tables_that_cannot_be_are_refused, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_table_that_has_changed_its_kind_is_refused, set_up, tear_down),
      cmocka_unit_test_setup_teardown(names_that_are_words_of_sql_are_fine, set_up, tear_down),
      cmocka_unit_test_setup_teardown(opening_reads_as_much_however_long_the_log, set_up, tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
