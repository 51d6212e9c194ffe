/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Sealing: what a unit writes besides its events. The rows of views and sagas that changed, when the key is due again,
 * the rows of clients' keys, the checkpoint of the event whose effect it is; and, from the state as it is now, what it
 * will want of workers and the answers that it gives.
 *
 * What is kept here: a row names the version that the unit before it leaves, so that the store refuses it without that
 * one; and everything that has to be found again after a crash is in the same unit as what makes it so.
 */
#include "engine/consume.h"
#include "engine/unit.h"

static cafe_row_write *add_row(execution *x, cafe_row_write *rows, const cafe_table *table, uint64_t sub,
                               uint64_t expected, const void *data) {
  cafe_row_write *row = &rows[x->unit->store.row_count++];
  row->table = table;
  row->key = x->subject->key;
  row->sub = sub;
  row->expected = expected;
  row->data = data;
  return row;
}

static int seal_views(execution *x, cafe_row_write *rows) {
  for (view_slot *slot = x->subject->views; slot; slot = slot->next) {
    if (!slot->is_dirty)
      continue;
    const cafe_table *table = &x->node->registry.views[slot->view].table;
    slot->is_dirty = false;
    if (x->node->registry.views[slot->view].is_outdated)
      continue; /* the rebuild folds what this unit says */
    if (!slot->is_shown) {
      if (slot->version)
        add_row(x, rows, table, slot->sub, slot->version, NULL);
      slot->version = 0;
      continue;
    }
    /* The texts of the row lie in the subject's arena, which outlives its units in flight. */
    void *copy = cafe_arena_alloc(x->arena, table->row->width);
    if (!copy)
      return unit_no_memory(x->err);
    memcpy(copy, slot->row, table->row->width);
    add_row(x, rows, table, slot->sub, slot->version++, copy);
  }
  return CAFE_OK;
}

static int seal_sagas(execution *x, cafe_row_write *rows) {
  for (uint32_t i = 0; i < x->node->registry.saga_count; i++) {
    if (!(x->changed_sagas >> i & 1))
      continue;
    saga_row *row = cafe_arena_alloc(x->arena, sizeof *row);
    if (!row)
      return unit_no_memory(x->err);
    int code = saga_save(row, x->subject->sagas[i], x->unit->now_ms, x->arena, x->err);
    if (code)
      return code;
    add_row(x, rows, &engine_tables[TABLE_SAGAS], x->node->registry.sagas[i].number, x->subject->saga_versions[i]++,
            row);
  }
  return CAFE_OK;
}

/* The row in `wakes` may be early, never late: a crash then finds the key in time. It is brought exactly up to date by
 * ticks only, and goes with the last thing that was due to a key that is over, so that an order that runs through needs
 * one row, not one a step. */
static int seal_wake(execution *x, cafe_row_write *rows, bool is_exact) {
  struct subject *subject = x->subject;
  struct unit *unit = x->unit;
  int64_t now = unit->now_ms;
  int64_t due = 0;
  for (uint32_t i = 0; i < x->node->registry.saga_count; i++) {
    int64_t saga_due = 0;
    int code = subject->sagas[i] ? saga_due_ms(&saga_due, subject->sagas[i], x->err) : CAFE_OK;
    if (code)
      return code;
    if (saga_due && (!due || saga_due < due))
      due = saga_due;
  }
  unit->due_ms = due;
  int64_t task_due = task_due_ms(subject, unit->wanted, now);
  if (task_due && (!due || task_due < due))
    due = task_due;
  if (unit->asks || subject->requests)
    due = due && due < now ? due : now;
  bool is_earlier = due && (!subject->wake_written_ms || due < subject->wake_written_ms);
  bool is_late = subject->wake_written_ms && (!due || (due > subject->wake_written_ms && due > now));
  /* Rows of attempts go after this unit: until then a crash must find the key. */
  bool is_last = !due && unit->looked_at_tasks && !subject->attempts && subject_is_over(subject);
  if (!is_earlier && !(is_late && (is_exact || is_last)))
    return CAFE_OK;
  wake_row *row = NULL;
  if (due) {
    row = cafe_arena_alloc(x->arena, sizeof *row);
    if (!row)
      return unit_no_memory(x->err);
    row->due_ms = due;
  }
  add_row(x, rows, &engine_tables[TABLE_WAKES], 0, subject->wake_version, row);
  subject->wake_version = due ? subject->wake_version + 1 : 0;
  subject->wake_written_ms = due;
  unit->wake_ms = due;
  return CAFE_OK;
}

static int seal_rows(execution *x, struct act *act) {
  uint32_t room = 3;
  for (view_slot *slot = x->subject->views; slot; slot = slot->next)
    room += slot->is_dirty;
  for (uint64_t left = x->changed_sagas; left; left &= left - 1)
    room++;
  cafe_row_write *rows = cafe_arena_alloc(x->arena, room * sizeof *rows);
  if (!rows)
    return unit_no_memory(x->err);
  int code = seal_views(x, rows);
  if (!code)
    code = seal_sagas(x, rows);
  if (!code)
    code = seal_wake(x, rows, act->kind == ACT_TICK);
  if (act->kind == ACT_ROWS)
    rows[x->unit->store.row_count++] = act->row;
  if (act->is_last && act->letter)
    rows[x->unit->store.row_count++] = *act->letter;
  x->unit->store.rows = rows;
  return code;
}

/* The ops that this unit answers get their answer now, from the state as it is after it. */
static int seal_answers(execution *x, struct act *act) {
  struct unit *unit = x->unit;
  cafe_key_write *key = NULL;
  /* Its own first: a unit has room for one client's key, and nobody else would write this one. */
  int code = act->op ? op_prepare(act->op, unit, true, &key, x->err) : CAFE_OK;
  cafe_op *next;
  for (cafe_op *op = x->subject->waiters; op && !code; op = next) {
    next = op->next_waiter;
    if (op != act->op)
      code = op_prepare(op, unit, false, &key, x->err);
  }
  unit->store.client_key = key;
  return code;
}

int seal_unit(execution *x, struct act *act) {
  struct unit *unit = x->unit;
  bool looks = act->kind == ACT_TICK || act->task;
  for (uint32_t i = 0; i < x->node->registry.aggregate_count && !looks; i++)
    looks = (x->touched >> i & 1) && x->node->registry.aggregates[i].type->tasks;
  if (!looks) {
    /* What the states want can't have changed: the last look holds. */
    unit->looked_at_tasks = false;
  } else {
    unit->looked_at_tasks = true;
    int code = task_look(x->subject, x->arena, &unit->wanted, x->err);
    if (code)
      return code;
  }
  unit->store.events = x->stored;
  unit->store.event_count = x->stored_count;
  if (act->is_last && !act->letter) {
    unit->store.checkpoints = &act->checkpoint;
    unit->store.checkpoint_count = 1;
  }
  int code = seal_rows(x, act);
  return code ? code : seal_answers(x, act);
}
