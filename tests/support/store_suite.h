/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STORE_SUITE_H
#define STORE_SUITE_H

#include "cafe/testing/store_contract.h"

/* Runs the contract suite, each check as a CMocka test of its own, named "backend: check". Returns the number of those
 * that failed: what main returns. With a name, only the checks whose name holds it. */
int store_suite_run(const cafe_store_contract *contract, const char *only);

#endif
