/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The callbacks that fold, and those that give up. They may fail, and whoever calls them passes that on as it is: the
 * unit isn't written, the key or the view is read anew; what was to be given up goes on. What is kept here: the message
 * names the definition and the event, and no answer that isn't one goes further.
 */
#include "engine/node.h"

int aggregate_evolve(const cafe_aggregate *type, void *state, const cafe_event *event, cafe_arena *arena,
                     cafe_err *err) {
  int code = type->evolve(state, event, arena, type->user);
  return code ? callback_failed(err, code, NULL, "the aggregate %s can't evolve by %s of key %llu", type->name,
                                event->type->name, (unsigned long long)event->key)
              : CAFE_OK;
}

int view_sub(uint64_t *out, const cafe_view *type, const cafe_event *event, cafe_err *err) {
  int code = type->sub ? type->sub(out, event, type->user) : CAFE_OK;
  return code ? callback_failed(err, code, NULL, "the view %s can't tell the row of %s of key %llu", type->name,
                                event->type->name, (unsigned long long)event->key)
              : CAFE_OK;
}

int view_fold(cafe_fold *out, const cafe_view *type, void *row, const cafe_event *event, cafe_arena *arena,
              cafe_err *err) {
  *out = CAFE_FOLD_PUT;
  int code = type->fold(out, row, event, arena, type->user);
  if (!code && *out >= CAFE_FOLD_SKIP && *out <= CAFE_FOLD_HIDE)
    return CAFE_OK;
  return callback_failed(err, code, code ? NULL : "what it said is no cafe_fold",
                         "the view %s can't fold %s of key %llu", type->name, event->type->name,
                         (unsigned long long)event->key);
}

size_t view_text_bytes(const cafe_view *type, const void *row) {
  size_t bytes = 0;
  for (uint32_t i = 0; i < type->row->field_count; i++)
    if (type->row->fields[i].type == CAFE_FIELD_TEXT || type->row->fields[i].type == CAFE_FIELD_BYTES)
      bytes += cafe_schema_get(type->row, row, i).bytes.size;
  return bytes;
}

int callback_gave_up(const command_type **type, const void **data, const cafe_node *node, const cafe_reaction *said,
                     uint64_t key, cafe_err *err) {
  const collected *asked = said->commands.first;
  *type = NULL;
  *data = NULL;
  if (said->commands.err.code) {
    *err = said->commands.err;
    return err->code;
  }
  if (!asked)
    return CAFE_OK;
  if (asked->next)
    return cafe_fail(err, CAFE_INVALID, "give_up names %u commands: it may name one", said->commands.count);
  if (asked->key != key)
    return cafe_fail(err, CAFE_INVALID, "give_up names %s to key %llu, not to its own key %llu", asked->type->name,
                     (unsigned long long)asked->key, (unsigned long long)key);
  const command_type *found = registry_command(node, asked->type);
  if (!found || !node->registry.aggregates[found->aggregate].is_local)
    return cafe_fail(err, CAFE_INVALID, "give_up names %s, which no aggregate of this node takes", asked->type->name);
  *type = found;
  *data = asked->data;
  return CAFE_OK;
}
