/* SPDX-License-Identifier: Apache-2.0 */

/* Tier inspectable: tables are real ones, with a column for each field, and every SQL client reads them. */
#include "testing/store_checks.h"

const store_check_entry store_checks_inspectable[] = {
    {NULL, NULL, false, false},
};
