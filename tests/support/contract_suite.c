/* SPDX-License-Identifier: Apache-2.0 */

/* Contract suites as CMocka tests. A suite without checks fails: a missing function must not look like success. */
#include "contract_suite.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { WHY_MAX = 1024 };

_Static_assert(CAFE_STORE_WHY_MAX == WHY_MAX && CAFE_TRANSPORT_WHY_MAX == WHY_MAX, "one buffer for both");

/* A contract of either kind. */
typedef struct suite {
  const void *contract;
  const char *backend;
  uint32_t count;
  const char *(*name)(const void *contract, uint32_t index);
  bool (*check)(char why[WHY_MAX], const void *contract, uint32_t index);
} suite;

typedef struct suite_check {
  const suite *suite;
  uint32_t index;
  char name[160];
} suite_check;

static void run_check(void **state) {
  const suite_check *check = *state;
  char why[WHY_MAX];
  if (!check->suite->check(why, check->suite->contract, check->index)) {
    fail_msg("%s", why);
  }
}

static int suite_run(const suite *self, const char *only) {
  uint32_t chosen = 0;
  suite_check *checks = calloc(self->count + 1, sizeof(*checks));
  struct CMUnitTest *tests = calloc(self->count + 1, sizeof(*tests));
  int failed = 1;
  if (!checks || !tests) {
    goto end;
  }
  for (uint32_t i = 0; i < self->count; i++) {
    const char *name = self->name(self->contract, i);
    if (!only || strstr(name, only)) {
      suite_check *check = &checks[chosen];
      check->suite = self;
      check->index = i;
      snprintf(check->name, sizeof(check->name), "%s: %s", self->backend, name);
      tests[chosen++] = (struct CMUnitTest){check->name, run_check, NULL, NULL, check};
    }
  }
  if (chosen == 0) {
    fprintf(stderr, "%s: no check to run\n", self->backend);
    goto end;
  }
  failed = _cmocka_run_group_tests(self->backend, tests, chosen, NULL, NULL);
end:
  free(checks);
  free(tests);
  return failed;
}

static const char *store_name(const void *contract, uint32_t index) {
  return cafe_store_contract_name(contract, index);
}
static bool store_check(char why[WHY_MAX], const void *contract, uint32_t index) {
  return cafe_store_contract_check(why, contract, index);
}

int store_suite_run(const cafe_store_contract *contract, const char *only) {
  const suite all = {contract, contract->name, cafe_store_contract_count(contract), store_name, store_check};
  return suite_run(&all, only);
}

static const char *transport_name(const void *contract, uint32_t index) {
  return cafe_transport_contract_name(contract, index);
}
static bool transport_check(char why[WHY_MAX], const void *contract, uint32_t index) {
  return cafe_transport_contract_check(why, contract, index);
}

int transport_suite_run(const cafe_transport_contract *contract, const char *only) {
  const suite all = {contract, contract->name, cafe_transport_contract_count(contract), transport_name,
                     transport_check};
  return suite_run(&all, only);
}
