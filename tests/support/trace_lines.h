/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TRACE_LINES_H
#define TRACE_LINES_H

#include <stddef.h>

/* Lines in blocks, and the document that holds them. */
typedef struct trace_lines {
  char **lines; /* NULL: the next block begins */
  size_t count;
} trace_lines;

void trace_lines_add(trace_lines *all, const char *text);
void trace_lines_next(trace_lines *all);
void trace_lines_free(trace_lines *all);

/* As trace_check says. */
void trace_lines_check(const trace_lines *all, const char *page, const char *name);

#endif
