/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEST_LETTERS_KIT_H
#define TEST_LETTERS_KIT_H

/*
 * A kitchen whose policies and views fail on one number, for tests of dead letters. Stirred by n of key 1 to 100 makes
 * the policy fill key + 100 by n, another one key + 200, and the view add n to the row of the key: what was filled, and
 * the row, tell what had its effect, how often and in which order.
 */
#include <unistd.h>

#include "cafe/store/sqlite.h"
#include "test_node_kit.h"

enum {
  POISON = 13,
  UNIT_POISON = 14, /* fails in the unit: it asks for what no jar can say */
  MINUTE_US = 60000000
};

/* Who fails on POISON, by which code, and how often: below 0: always. */
typedef struct poison {
  const char *reader; /* NULL: nobody */
  int code;
  int64_t times;
  uint32_t met;
} poison;
static poison poisoned;

static inline void poison_it(const char *reader, int code, int64_t times) {
  poisoned = (poison){reader, code, times, 0};
}

static inline int taste(const char *reader, const cafe_event *event) {
  if (!poisoned.reader || strcmp(poisoned.reader, reader) != 0 || ((const note *)event->data)->n != POISON ||
      poisoned.times == 0)
    return CAFE_OK;
  poisoned.met++;
  poisoned.times -= poisoned.times > 0;
  return poisoned.code;
}

static inline void fill_by(cafe_reaction *out, const cafe_event *event, const char *reader, uint64_t from) {
  if (event->key > 100)
    return;
  int code = taste(reader, event);
  cafe_react(out, ((const note *)event->data)->n == UNIT_POISON ? &Spoil : &Fill, event->key + from, event->data,
             sizeof(note));
  if (code)
    cafe_reaction_fail(out, (cafe_code)code, "it is poison");
}

static inline void react_fills(cafe_reaction *out, const cafe_event *event, void *user) {
  (void)user;
  fill_by(out, event, "fills", 100);
}

static inline void react_mirrors(cafe_reaction *out, const cafe_event *event, void *user) {
  note data = *(const note *)event->data;
  (void)user;
  if (event->key > 100)
    return;
  int code = taste("mirrors", event);
  cafe_react(out, &Fill, event->key + 200, &data, sizeof data);
  if (code)
    cafe_reaction_fail(out, (cafe_code)code, "it is poison");
}

/* The row's text is all n so far. */
typedef struct line {
  cafe_slice text;
} line;
static const cafe_field line_fields[] = {CAFE_FIELD_OF(1, TEXT, line, text)};
static const cafe_schema line_type = CAFE_SCHEMA_OF("line", line, line_fields);

static inline int append_n(cafe_fold *out, void *row, const cafe_event *event, cafe_arena *arena, void *user) {
  line *self = row;
  char text[200];
  (void)out;
  snprintf(text, sizeof text, "%.*s%s%lld", (int)self->text.size, self->text.data ? self->text.data : "",
           self->text.size ? " " : "", (long long)((const note *)event->data)->n);
  int code = cafe_arena_copy(&self->text, arena, cafe_text(text)); /* half done where it fails */
  return code ? code : taste(user, event);
}

static inline int line_place(uint64_t *out, const cafe_event *event, void *user) {
  (void)user;
  *out = 1 + event->key % 2;
  return taste("places", event);
}

static const cafe_schema *const reads_stirred[] = {&Stirred, NULL};
static const cafe_schema *const asks_for_fill[] = {&Fill, &Spoil, NULL};
static const char *const from_kitchen[] = {"kitchen", NULL};

static const cafe_policy fills_policy = {.size = CAFE_POLICY,
                                         .name = "fills",
                                         .source = "kitchen",
                                         .events = reads_stirred,
                                         .other_key = true,
                                         .react = react_fills,
                                         .commands = asks_for_fill};
static const cafe_policy skips_policy = {.size = CAFE_POLICY,
                                         .name = "fills",
                                         .source = "kitchen",
                                         .events = reads_stirred,
                                         .other_key = true,
                                         .react = react_fills,
                                         .commands = asks_for_fill,
                                         .flags = CAFE_POLICY_SKIPS};
static const cafe_policy mirrors_policy = {.size = CAFE_POLICY,
                                           .name = "mirrors",
                                           .source = "kitchen",
                                           .events = reads_stirred,
                                           .other_key = true,
                                           .react = react_mirrors,
                                           .commands = asks_for_fill};
static const cafe_view lines_view = {.size = CAFE_VIEW,
                                     .name = "lines",
                                     .version = 1,
                                     .sources = from_kitchen,
                                     .events = reads_stirred,
                                     .key_name = "jar_id",
                                     .row = &line_type,
                                     .fold = append_n,
                                     .user = (void *)"lines"};
static const cafe_view places_view = {.size = CAFE_VIEW,
                                      .name = "places",
                                      .version = 1,
                                      .sources = from_kitchen,
                                      .events = reads_stirred,
                                      .key_name = "jar_id",
                                      .sub_name = "place",
                                      .row = &line_type,
                                      .sub = line_place,
                                      .fold = append_n,
                                      .user = (void *)"nobody"};
static const cafe_policy *const letter_policies[] = {&fills_policy, &mirrors_policy, NULL};
static const cafe_policy *const skipping_policies[] = {&skips_policy, NULL};
static const cafe_view *const letter_views[] = {&lines_view, &places_view, NULL};

/* ---- the kitchen, in memory or in a file ---- */

static const char letters_path[] = "letters.db";

static inline void letters_open_store(kitchen *k) {
  cafe_sqlite_options options = CAFE_SQLITE_OPTIONS_INIT;
  options.sync = CAFE_SQLITE_OFF; /* no power is lost here */
  assert_int_equal(cafe_sqlite_create(&k->inner, letters_path, &options, NULL), CAFE_OK);
  assert_int_equal(cafe_faulty_store_create(&k->store, k->inner, NULL, NULL), CAFE_OK);
}

static inline void letters_close_store(kitchen *k) {
  cafe_store_destroy(k->store);
  cafe_store_destroy(k->inner);
}

typedef enum letters_store { IN_MEMORY, ON_A_LANE, IN_A_FILE, LETTERS_STORES } letters_store;

/* Not started. */
static inline kitchen *letters_open(letters_store where) {
  static const char *const suffixes[] = {"", "-wal", "-shm", "-lock"};
  kitchen *k = kitchen_open(where == IN_MEMORY ? 0 : 100);
  poison_it(NULL, CAFE_OK, 0);
  k->service.policies = letter_policies;
  k->service.views = letter_views;
  if (where != IN_A_FILE)
    return k;
  k->is_file = true;
  letters_close_store(k);
  for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
    char path[64];
    snprintf(path, sizeof path, "%s%s", letters_path, suffixes[i]);
    unlink(path);
  }
  letters_open_store(k);
  return k;
}

/* The process dies, or ends, and another one begins. */
static inline void letters_restart(kitchen *k, bool dies) {
  if (dies)
    cafe_faulty_store_kill(k->store);
  kitchen_down(k);
  if (k->is_file) {
    letters_close_store(k);
    letters_open_store(k);
  } else {
    cafe_faulty_store_set(k->store, NULL);
    cafe_faulty_store_revive(k->store);
  }
  kitchen_up(k);
}

/* ---- what is there ---- */

typedef struct stored_letter {
  uint64_t key, letter;
  cafe_letter_state state;
  int64_t attempts;
  char name[16], code[16], error[240];
} stored_letter;

enum { LETTERS_MAX = 32 };

typedef struct letter_list {
  bool is_done;
  int code;
  uint32_t count;
  stored_letter letters[LETTERS_MAX];
} letter_list;

static inline void copy_text(char *out, size_t size, cafe_slice text) {
  snprintf(out, size, "%.*s", (int)text.size, text.data ? text.data : "");
}

static inline void see_letters(const cafe_err *err, const cafe_page *page, void *user) {
  letter_list *self = user;
  self->is_done = true;
  self->code = err ? err->code : CAFE_OK;
  for (uint32_t i = 0; !err && i < page->count; i++) {
    const cafe_dead_letter *row = page->rows[i]->data;
    stored_letter *out = &self->letters[self->count++];
    assert_true(self->count < LETTERS_MAX && page->position_count == 0);
    out->key = page->rows[i]->key;
    out->letter = page->rows[i]->sub;
    out->state = row->state;
    out->attempts = row->attempts;
    copy_text(out->name, sizeof out->name, row->name);
    copy_text(out->code, sizeof out->code, row->code);
    copy_text(out->error, sizeof out->error, row->error);
  }
}

/* CAFE_OK, or what reading failed with. */
static inline int read_letters(kitchen *k, letter_list *out) {
  cafe_list list = CAFE_LIST_INIT;
  memset(out, 0, sizeof *out);
  list.view = &cafe_dead_letters_view;
  int code = cafe_node_list(NULL, k->node, &list, see_letters, out, NULL);
  for (int i = 0; i < 1000 && !code && !out->is_done; i++)
    kitchen_run(k, 1000);
  assert_true(code || out->is_done);
  return code ? code : out->code;
}

/* "7 parked 5 invalid, 7 waiting", of one reader, in the order of the table. */
static inline const char *letters_of(kitchen *k, const char *reader) {
  static char text[1024];
  letter_list list;
  size_t size = 0;
  text[0] = '\0';
  assert_int_equal(read_letters(k, &list), CAFE_OK);
  for (uint32_t i = 0; i < list.count; i++) {
    const stored_letter *at = &list.letters[i];
    if (strcmp(at->name, reader) != 0)
      continue;
    size += (size_t)snprintf(text + size, sizeof text - size, "%s%llu ", size ? ", " : "", (unsigned long long)at->key);
    if (at->state == CAFE_LETTER_PARKED)
      size += (size_t)snprintf(text + size, sizeof text - size, "parked %lld %s", (long long)at->attempts, at->code);
    else
      size += (size_t)snprintf(text + size, sizeof text - size, "waiting");
  }
  return text;
}

/* The first parked, or any, of a reader; 0: none. */
static inline uint64_t letter_number(kitchen *k, const char *reader, uint64_t key, uint32_t index) {
  letter_list list;
  assert_int_equal(read_letters(k, &list), CAFE_OK);
  for (uint32_t i = 0; i < list.count; i++)
    if (list.letters[i].key == key && strcmp(list.letters[i].name, reader) == 0 && index-- == 0)
      return list.letters[i].letter;
  return 0;
}

static inline uint64_t dead_letters(const kitchen *k) {
  cafe_node_stats stats = {.size = sizeof stats};
  cafe_node_stats_get(k->node, &stats);
  return stats.dead_letters;
}

typedef struct filled_list {
  char text[400];
} filled_list;

static inline int see_fill(const cafe_stored_event *event, void *user) {
  filled_list *self = user;
  note data;
  if (strcmp(event->type, "Filled") != 0)
    return CAFE_OK;
  assert_int_equal(cafe_schema_decode(&data, &Filled, event->data, NULL), CAFE_OK);
  size_t size = strlen(self->text);
  snprintf(self->text + size, sizeof self->text - size, "%s%lld", size ? " " : "", (long long)data.n);
  return CAFE_OK;
}

/* "1 2 3": what the store says the key was filled by. */
static inline const char *fills_of(kitchen *k, uint64_t key) {
  static filled_list list;
  list.text[0] = '\0';
  assert_int_equal(k->inner->ops->load(k->inner, key, see_fill, see_no_row, &list, NULL), CAFE_OK);
  return list.text;
}

static inline const char *row_text(kitchen *k, const cafe_view *view, uint64_t key) {
  static char text[200];
  const void *row;
  int code = cafe_node_find(&row, k->node, view, key, view->sub_name ? 1 + key % 2 : 0, NULL);
  if (code)
    return code == CAFE_NOT_FOUND ? "" : cafe_code_name(code);
  copy_text(text, sizeof text, ((const line *)row)->text);
  return text;
}

static inline void stir(kitchen *k, uint64_t key, int64_t n) {
  assert_int_equal(ask(k, &Stir, key, n, NULL).code, CAFE_OK);
}

/* ---- what is done with a letter ---- */

typedef struct letter_call {
  cafe_op *op;
  uint32_t times;
  int code;
  char text[240];
} letter_call;

static inline void letter_answered(const cafe_err *err, void *user) {
  letter_call *self = user;
  self->times++;
  self->op = NULL;
  self->code = err ? err->code : CAFE_OK;
  snprintf(self->text, sizeof self->text, "%s", err ? err->text : "");
}

static inline int begin_replay(kitchen *k, letter_call *out, uint64_t key, uint64_t letter, const note *edited) {
  cafe_replay replay = CAFE_REPLAY_INIT;
  memset(out, 0, sizeof *out);
  replay.key = key;
  replay.letter = letter;
  if (edited) {
    replay.event = &Stirred;
    replay.data = edited;
    replay.data_size = sizeof *edited;
  }
  return cafe_node_replay_letter(&out->op, k->node, &replay, letter_answered, out, NULL);
}

static inline void await_letter(kitchen *k, const letter_call *asked) {
  for (int i = 0; i < 1000 && !asked->times; i++)
    kitchen_run(k, 1000);
  assert_int_equal(asked->times, 1);
}

static inline letter_call replay_letter(kitchen *k, uint64_t key, uint64_t letter, const note *edited) {
  letter_call made;
  assert_int_equal(begin_replay(k, &made, key, letter, edited), CAFE_OK);
  await_letter(k, &made);
  return made;
}

static inline letter_call drop_letter(kitchen *k, uint64_t key, uint64_t letter, const char *reason) {
  letter_call made = {0};
  assert_int_equal(cafe_node_drop_letter(NULL, k->node, key, letter, reason, letter_answered, &made, NULL), CAFE_OK);
  await_letter(k, &made);
  return made;
}

#endif
