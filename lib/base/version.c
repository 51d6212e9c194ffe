/* SPDX-License-Identifier: Apache-2.0 */

/* The version that was compiled in: a program compares it with the headers' to find that it loaded another library. */
#include "cafe/version.h"

const char *cafe_version(void) { return CAFE_VERSION; }
