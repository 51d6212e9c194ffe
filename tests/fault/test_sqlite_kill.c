/* SPDX-License-Identifier: Apache-2.0 */

/* Processes with a store, killed: by themselves at each call that changes a file, and by another at any moment. What
 * they had acknowledged, through a pipe, is there; what else is there is whole. With CAFE_FULL, more of them. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "disk_vfs.h"
#include "sqlite_file.h"
#include "sqlite_kit.h"

static const char path[] = "kill.db";

static unsigned full(unsigned shorter, unsigned longer) {
  const char *value = getenv("CAFE_FULL");
  return value && value[0] ? longer : shorter;
}

/* What a child does: goes on from what is there, batch by batch, and says after each up to which unit it got. */
static void work(int out, const char *vfs, unsigned batches, uint32_t count, size_t size) {
  cafe_err err;
  cafe_store *store;
  uint64_t units;
  if (kit_open(&store, path, vfs, CAFE_SQLITE_FULL, &err) != CAFE_OK || kit_read(store, &units, &err) != CAFE_OK) {
    fprintf(stderr, "%s\n", err.text);
    _exit(2);
  }
  for (unsigned i = 0; i < batches; i++, units += count) {
    if (kit_commit(store, units + 1, count, size, &err) != CAFE_OK) {
      fprintf(stderr, "%s\n", err.text);
      _exit(3);
    }
    uint64_t acknowledged = units + count;
    if (write(out, &acknowledged, sizeof(acknowledged)) != (ssize_t)sizeof(acknowledged)) {
      _exit(4);
    }
  }
  cafe_store_destroy(store);
  _exit(0);
}

static pid_t start(int *in, const char *vfs, uint64_t kill_at, unsigned batches, uint32_t count, size_t size) {
  int ends[2];
  assert_int_equal(pipe(ends), 0);
  fflush(NULL);
  pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    close(ends[0]);
    if (kill_at) {
      disk_begin(path);
      disk_arm(DISK_KILL, kill_at);
    }
    work(ends[1], vfs, batches, count, size);
  }
  close(ends[1]);
  *in = ends[0];
  return child;
}

/* Reads acknowledgements until the pipe ends, or `kills` of them have come. The last one. */
static uint64_t listen_to(int in, unsigned until) {
  uint64_t last = 0;
  for (unsigned i = 0; until == 0 || i < until; i++) {
    uint64_t now;
    if (read(in, &now, sizeof(now)) != (ssize_t)sizeof(now)) {
      break;
    }
    last = now;
  }
  return last;
}

static int end_of(pid_t child) {
  int status;
  assert_int_equal(waitpid(child, &status, 0), child);
  return status;
}

/* Opens what the child left: all that is acknowledged, and of the batch under way all or nothing. */
static uint64_t check(uint64_t acknowledged, uint64_t before, uint32_t count) {
  cafe_err err;
  uint64_t units;
  int code = kit_read_path(path, &units, &err);
  if (code != CAFE_OK) {
    fail_msg("after a kill: %s: %s", cafe_code_name(code), err.text);
  }
  uint64_t least = acknowledged ? acknowledged : before;
  assert_true(units == least || units == least + count);
  return units;
}

static void a_process_killed_at_any_call_has_kept_its_word(void **state) {
  enum { BATCHES = 4, COUNT = 3 };
  for (uint64_t n = 1;; n++) {
    sqlite_file_remove(path);
    int in;
    pid_t child = start(&in, DISK_VFS, n, BATCHES, COUNT, 600);
    uint64_t acknowledged = listen_to(in, 0);
    close(in);
    int status = end_of(child);
    uint64_t units = check(acknowledged, 0, COUNT);
    if (WIFEXITED(status)) {
      assert_int_equal(WEXITSTATUS(status), 0);
      assert_int_equal(units, BATCHES * COUNT);
      assert_true(n > BATCHES);
      break;
    }
    assert_int_equal(WTERMSIG(status), SIGKILL);
  }
  sqlite_file_remove(path);
}

static void a_process_killed_in_recovery_has_kept_its_word(void **state) {
  enum { COUNT = 3 };
  for (uint64_t n = 1;; n++) {
    sqlite_file_remove(path);
    int in;
    pid_t child = start(&in, NULL, 0, 1000000, COUNT, 600);
    uint64_t acknowledged = listen_to(in, 20);
    kill(child, SIGKILL);
    uint64_t later = listen_to(in, 0);
    acknowledged = later ? later : acknowledged;
    close(in);
    (void)end_of(child);
    child = start(&in, DISK_VFS, n, 0, COUNT, 600);
    close(in);
    int status = end_of(child);
    (void)check(acknowledged, 0, COUNT);
    if (WIFEXITED(status)) {
      assert_int_equal(WEXITSTATUS(status), 0);
      assert_true(n > 2);
      break;
    }
  }
  sqlite_file_remove(path);
}

/* One file through many kills. Batches large enough that the WAL is copied into the file in between. */
static void a_process_killed_at_any_moment_has_kept_its_word(void **state) {
  sqlite_file_remove(path);
  uint64_t units = 0;
  unsigned random = 12345;
  for (unsigned round = 0; round < full(12, 300); round++) {
    random = random * 1103515245u + 12345u;
    uint32_t count = round % 2 ? 64 : 1;
    int in;
    pid_t child = start(&in, NULL, 0, 1000000, count, round % 3 ? 100 : 3000);
    uint64_t acknowledged = listen_to(in, 1 + random / 65536 % 60);
    kill(child, SIGKILL);
    uint64_t later = listen_to(in, 0);
    acknowledged = later ? later : acknowledged;
    close(in);
    int status = end_of(child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    units = check(acknowledged, units, count);
    if (units > 6000) {
      sqlite_file_remove(path);
      units = 0;
    }
  }
  sqlite_file_remove(path);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_process_killed_at_any_call_has_kept_its_word),
      cmocka_unit_test(a_process_killed_in_recovery_has_kept_its_word),
      cmocka_unit_test(a_process_killed_at_any_moment_has_kept_its_word),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
