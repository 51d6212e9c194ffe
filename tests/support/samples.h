/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SAMPLES_H
#define SAMPLES_H

#include "cafe/metrics.h"

/* What a node tells under a name and its labels' values: "cafe_breaker_state payment OPEN". That there isn't exactly
 * one such sample fails the test. */
double sample_value(cafe_node *node, const char *text);

#endif
