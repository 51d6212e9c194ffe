/* SPDX-License-Identifier: Apache-2.0 */

/* Every input that fuzzing kept is tried again in each run, whole and cut off anywhere, with any compiler. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fuzz.h"

/* The file's bytes in memory of exactly their size, so that AddressSanitizer sees one byte too many. */
static uint8_t *read_whole(size_t *size, const char *path) {
  FILE *file = fopen(path, "rb");
  assert_non_null(file);
  assert_int_equal(fseek(file, 0, SEEK_END), 0);
  long end = ftell(file);
  assert_true(end >= 0);
  rewind(file);
  *size = (size_t)end;
  uint8_t *bytes = malloc(*size ? *size : 1);
  assert_int_equal(fread(bytes, 1, *size, file), *size);
  fclose(file);
  return bytes;
}

static void no_kept_input_hurts(void **state) {
  static const char folder[] = CAFE_TEST_DATA "/fuzz/corpus/" FUZZ_NAME;
  DIR *dir = opendir(folder);
  assert_non_null(dir);
  unsigned count = 0;
  for (struct dirent *entry; (entry = readdir(dir));) {
    if (entry->d_name[0] == '.') {
      continue;
    }
    char path[4096];
    assert_true(snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name) < (int)sizeof(path));
    size_t size;
    uint8_t *bytes = read_whole(&size, path);
    for (size_t cut = 0; cut <= size; cut++) {
      uint8_t *exact = malloc(cut ? cut : 1);
      memcpy(exact, bytes, cut);
      LLVMFuzzerTestOneInput(exact, cut);
      free(exact);
    }
    free(bytes);
    count++;
  }
  closedir(dir);
  assert_true(count >= 20);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(no_kept_input_hurts),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
