/* SPDX-License-Identifier: Apache-2.0 */
#include "samples.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

typedef struct wanted {
  const char *text;
  double value;
  int count;
} wanted;

static void see(const cafe_sample *sample, void *user) {
  wanted *self = user;
  char text[160];
  int at = snprintf(text, sizeof text, "%s%s", sample->name, sample->suffix);
  for (uint32_t i = 0; i < sample->label_count; i++)
    at += snprintf(text + at, sizeof text - (size_t)at, " %s", sample->label_values[i]);
  if (strcmp(text, self->text) != 0)
    return;
  self->value = sample->value;
  self->count++;
}

double sample_value(cafe_node *node, const char *text) {
  wanted found = {text, 0, 0};
  cafe_node_metrics(node, see, &found);
  if (found.count != 1)
    fail_msg("%d samples are %s", found.count, text);
  return found.value;
}
