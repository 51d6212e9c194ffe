/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Documents and the traces in them. A page's blocks that are fenced as ```trace <name> are, taken together, one trace;
 * what stands between them is for people and is never touched.
 */
#include "trace_lines.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

void trace_lines_add(trace_lines *all, const char *text) {
  all->lines = realloc(all->lines, (all->count + 1) * sizeof(*all->lines));
  assert_non_null(all->lines);
  char *copy = text ? strdup(text) : NULL;
  assert_true(copy || !text);
  all->lines[all->count++] = copy;
}

void trace_lines_next(trace_lines *all) { trace_lines_add(all, NULL); }

void trace_lines_free(trace_lines *all) {
  for (size_t i = 0; i < all->count; i++) {
    free(all->lines[i]);
  }
  free(all->lines);
}

/* ---- the document ---- */

static char *read_page(const char *path) {
  FILE *in = fopen(path, "rb");
  if (!in) {
    fail_msg("%s can't be read: %s. Write it, with an empty block for each part of the trace", path, strerror(errno));
  }
  assert_int_equal(fseek(in, 0, SEEK_END), 0);
  long size = ftell(in);
  assert_true(size >= 0);
  rewind(in);
  char *text = malloc((size_t)size + 1);
  assert_non_null(text);
  assert_int_equal(fread(text, 1, (size_t)size, in), (size_t)size);
  text[size] = '\0';
  fclose(in);
  return text;
}

/* The next line of *at, without its end; NULL at the end of the text. */
static char *next_line(char **at) {
  char *line = *at;
  if (!*line) {
    return NULL;
  }
  char *end = strchr(line, '\n');
  *at = end ? end + 1 : line + strlen(line);
  if (end) {
    *end = '\0';
  }
  return line;
}

static bool opens(const char *line, const char *name) {
  char fence[96];
  snprintf(fence, sizeof(fence), "```trace %s", name);
  return strcmp(line, fence) == 0;
}

static bool is_closing(const char *line) { return line && strcmp(line, "```") == 0; }

typedef struct place {
  const trace_lines *all;
  size_t at; /* the next line */
  unsigned blocks;
} place;

/* The next line of this block; NULL: the block is over. */
static const char *take_line(place *p) { return p->at < p->all->count ? p->all->lines[p->at++] : NULL; }

static unsigned block_count(const trace_lines *all) {
  unsigned count = 1;
  for (size_t i = 0; i < all->count; i++) {
    count += all->lines[i] == NULL;
  }
  return count;
}

static void check_count(const trace_lines *all, const char *path, const char *name, unsigned found) {
  if (found != block_count(all)) {
    fail_msg("%s has %u blocks ```trace %s, and the trace has %u parts", path, found, name, block_count(all));
  }
}

static void compare(const trace_lines *all, const char *path, const char *name, char *text) {
  place p = {all, 0, 0};
  unsigned number = 0;
  char *line;
  while ((line = next_line(&text))) {
    number++;
    if (!opens(line, name)) {
      continue;
    }
    p.blocks++;
    const char *real;
    do {
      line = next_line(&text);
      number++;
      real = take_line(&p);
      bool is_same = is_closing(line) ? !real : real && line && strcmp(line, real) == 0;
      if (!is_same) {
        fail_msg("%s:%u differs from what happens\n  document: %s\n  happened: %s\nIf it is what should happen: "
                 "CAFE_UPDATE=1 %s",
                 path, number, is_closing(line) || !line ? "(the block ends)" : line,
                 real ? real : "(this part of the trace ends)", program_invocation_name);
      }
    } while (real);
  }
  check_count(all, path, name, p.blocks);
}

static void update(const trace_lines *all, const char *path, const char *name, char *text) {
  char temporary[600];
  place p = {all, 0, 0};
  snprintf(temporary, sizeof(temporary), "%s.new", path);
  FILE *out = fopen(temporary, "wb");
  assert_non_null(out);
  char *line;
  while ((line = next_line(&text))) {
    fprintf(out, "%s\n", line);
    if (!opens(line, name)) {
      continue;
    }
    p.blocks++;
    for (const char *real; (real = take_line(&p));) {
      fprintf(out, "%s\n", real);
    }
    do {
      line = next_line(&text);
      assert_non_null(line);
    } while (!is_closing(line));
    fprintf(out, "```\n");
  }
  assert_int_equal(fclose(out), 0);
  check_count(all, path, name, p.blocks);
  assert_int_equal(rename(temporary, path), 0);
}

void trace_lines_check(const trace_lines *all, const char *page, const char *name) {
  char path[512];
  snprintf(path, sizeof(path), "%s/%s", CAFE_DOCS, page);
  char *text = read_page(path);
  const char *wish = getenv("CAFE_UPDATE");
  if (wish && strcmp(wish, "1") == 0) {
    update(all, path, name, text);
  } else {
    compare(all, path, name, text);
  }
  free(text);
}
