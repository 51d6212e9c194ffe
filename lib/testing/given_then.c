/* SPDX-License-Identifier: Apache-2.0 */

/* What it is now, and what was said last: compared with what was wanted, or handed out. */
#include <inttypes.h>

#include "testing/given_core.h"

const void *cafe_given_state(const cafe_given *it) { return it->saga ? given_saga_memory(it) : it->fold.state; }

const void *cafe_given_row(const cafe_given *it, uint64_t sub) {
  const given_row *row = fold_row(&it->fold, sub);
  return row ? row->data : NULL;
}

bool cafe_then_is(cafe_given *it, const void *data, size_t size) {
  if (it->why) {
    return false;
  }
  const cafe_schema *schema = it->aggregate ? it->aggregate->state : it->saga ? it->saga->data : NULL;
  if (!schema) {
    return given_fail(it, "only an aggregate has a state, and a saga a memory");
  }
  cafe_err err;
  given_words words = {it->words, NULL, false};
  if (schema_take(&data, schema, data, size, it->words, &err)) {
    return given_fail(it, "%s", err.text);
  }
  const void *got = cafe_given_state(it);
  if (!got) {
    got = cafe_arena_alloc(it->words, schema->width);
  }
  if (!got) {
    return given_fail(it, "no memory to compare a state");
  }
  words_compare(&words, "  ", schema, data, got);
  return given_judge(it, &words, it->aggregate ? "the state isn't what was wanted" : "it remembers something else") &&
         fold_is_pure(it);
}

static bool is_shown(const cafe_view *view, const given_row *row) {
  if (!row || !row->is_shown || !view->shown_by) {
    return row && row->is_shown;
  }
  int column = cafe_schema_find(view->row, cafe_text(view->shown_by));
  return cafe_schema_get(view->row, row->data, (uint32_t)column).number != 0;
}

bool cafe_then_row(cafe_given *it, uint64_t sub, const void *data, size_t size) {
  if (it->why) {
    return false;
  }
  if (!it->view) {
    return given_fail(it, "only a view has rows");
  }
  cafe_err err;
  const given_row *row = fold_row(&it->fold, sub);
  bool is_there = is_shown(it->view, row);
  if (!data || !is_there) {
    return data || is_there ? given_fail(it, "the view %s, row %" PRIu64 " of key %" PRIu64 ": %s", it->view->name, sub,
                                         it->key, data ? "wanted, and not shown" : "shown, though none was wanted")
                            : fold_is_pure(it);
  }
  if (schema_take(&data, it->view->row, data, size, it->words, &err)) {
    return given_fail(it, "%s", err.text);
  }
  given_words words = {it->words, NULL, false};
  words_compare(&words, "  ", it->view->row, data, row->data);
  return given_judge(it, &words, "the view %s, row %" PRIu64 " of key %" PRIu64, it->view->name, sub, it->key) &&
         fold_is_pure(it);
}

bool cafe_then_asks(cafe_given *it, const cafe_fact *commands) {
  given_list wanted;
  given_words words = {it->words, NULL, false};
  if (it->why || !given_take(it, &wanted, commands, it->answer)) {
    return false;
  }
  words_compare_lists(&words, "command", &wanted, &it->said, it->key);
  return given_judge(it, &words, "what is asked for isn't what was wanted");
}

/* ---- what was said ---- */

const char *cafe_given_said(const cafe_given *it) { return it->line; }
const char *cafe_given_text(const cafe_given *it) { return it->text ? it->text : ""; }

const void *cafe_given_data(const cafe_given *it, const cafe_schema *type) {
  const void *data = NULL;
  for (const given_item *item = it->said.first; item; item = item->next) {
    data = item->fact.type == type ? item->fact.data : data;
  }
  return data;
}
