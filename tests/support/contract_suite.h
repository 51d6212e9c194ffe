/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CONTRACT_SUITE_H
#define CONTRACT_SUITE_H

#include "cafe/testing/store_contract.h"
#include "cafe/testing/transport_contract.h"

/* Run a contract suite, each check as a CMocka test of its own, named "backend: check". Return the number of those that
 * failed: what main returns. With a name, only the checks whose name holds it. */
int store_suite_run(const cafe_store_contract *contract, const char *only);
int transport_suite_run(const cafe_transport_contract *contract, const char *only);

#endif
