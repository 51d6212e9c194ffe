/* SPDX-License-Identifier: Apache-2.0 */

/* Tier durable: what a store has acknowledged is there, whatever happens to process, disk and power. */
#include "testing/store_checks.h"

const store_check_entry store_checks_durable[] = {
    {NULL, NULL, false, false},
};
