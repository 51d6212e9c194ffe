/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TRANSPORT_SUITE_H
#define TRANSPORT_SUITE_H

#include "cafe/testing/transport_contract.h"

/* Runs the contract suite, each check as a CMocka test of its own, named "transport: check". Returns the number of
 * those that failed: what main returns. With a name, only the checks whose name holds it. */
int transport_suite_run(const cafe_transport_contract *contract, const char *only);

#endif
