/* SPDX-License-Identifier: Apache-2.0 */

/* The contract suite as CMocka tests. A suite without checks fails: a missing function must not look like success. */
#include "transport_suite.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

typedef struct suite_check {
  const cafe_transport_contract *contract;
  uint32_t index;
  char name[160];
} suite_check;

static void run_check(void **state) {
  const suite_check *check = *state;
  char why[CAFE_TRANSPORT_WHY_MAX];
  if (!cafe_transport_contract_check(why, check->contract, check->index)) {
    fail_msg("%s", why);
  }
}

int transport_suite_run(const cafe_transport_contract *contract, const char *only) {
  uint32_t count = cafe_transport_contract_count(contract), chosen = 0;
  suite_check *checks = calloc(count + 1, sizeof(*checks));
  struct CMUnitTest *tests = calloc(count + 1, sizeof(*tests));
  int failed = 1;
  if (!checks || !tests) {
    goto end;
  }
  for (uint32_t i = 0; i < count; i++) {
    const char *name = cafe_transport_contract_name(contract, i);
    if (!only || strstr(name, only)) {
      suite_check *check = &checks[chosen];
      check->contract = contract;
      check->index = i;
      snprintf(check->name, sizeof(check->name), "%s: %s", contract->name, name);
      tests[chosen++] = (struct CMUnitTest){check->name, run_check, NULL, NULL, check};
    }
  }
  if (chosen == 0) {
    fprintf(stderr, "%s: no check to run\n", contract->name);
    goto end;
  }
  failed = _cmocka_run_group_tests(contract->name, tests, chosen, NULL, NULL);
end:
  free(checks);
  free(tests);
  return failed;
}
