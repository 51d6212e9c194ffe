/* SPDX-License-Identifier: Apache-2.0 */

/*
 * To and from the row. What is kept here: a saga that was written and read goes on exactly as one that stayed in
 * memory. The state's bytes are the truth; the columns beside them are told from it, for people and for queries, and
 * only the phase is compared, so that a row which was changed by hand is refused and not half believed.
 *
 * The state is msgpack by the field table below. Its lists are bytes: records, each a byte with its size and then
 * msgpack by the record's own table. Names are kept as saga_id, so the order of the definition is free to change. What
 * the definition no longer names and nothing stands on (a signal, a timeout) is left out; a step or an interrupt that
 * the saga stands in can't be, and is CAFE_UNSUPPORTED.
 */
#include "saga/instance.h"
#include "schema/codec.h"

static const char *const phase_names[] = {"none", "running", "guarding", "compensating", "ended", "undone", "parked"};

static const cafe_field row_fields[] = {
    CAFE_FIELD_OF(1, TEXT, saga_row, name),
    CAFE_FIELD_OF(2, I64, saga_row, saga_version),
    CAFE_FIELD_ENUM_OF(3, saga_row, phase, phase_names),
    CAFE_FIELD_OF(4, TEXT, saga_row, steps),
    CAFE_FIELD_OF(5, TEXT, saga_row, guard),
    CAFE_FIELD_OF(6, I64, saga_row, attempt),
    CAFE_FIELD_OF(7, TIME, saga_row, due_ms),
    CAFE_FIELD_OF(8, TIME, saga_row, started_at_ms),
    CAFE_FIELD_OF(9, TIME, saga_row, updated_at_ms),
    CAFE_FIELD_OF(10, BYTES, saga_row, state),
    CAFE_FIELD_OF(11, BYTES, saga_row, data),
};

const cafe_schema saga_row_type = CAFE_SCHEMA_OF("Saga", saga_row, row_fields);

/* ---- the state ---- */

typedef struct saga_state {
  saga_phase phase;
  bool is_joining;    /* main waits before the pivot for a branch */
  int64_t guard;      /* id of the interrupt, or 0 */
  cafe_slice signals; /* marks: id, last version */
  cafe_slice steps;   /* step records, as entered */
  cafe_slice fired;   /* marks: id of the timeout, due time */
  cafe_slice pending; /* marks: id of the interrupt, 0 */
} saga_state;

typedef struct saga_mark {
  int64_t id;
  int64_t value;
} saga_mark;

typedef struct saga_step_record {
  int64_t id;
  int64_t flags;
  int64_t attempt;
  int64_t before;
  int64_t asked;
  int64_t retry_ms;
} saga_step_record;

static const cafe_field state_fields[] = {
    CAFE_FIELD_ENUM_OF(1, saga_state, phase, phase_names),
    CAFE_FIELD_OF(2, BOOL, saga_state, is_joining),
    CAFE_FIELD_OF(3, I64, saga_state, guard),
    CAFE_FIELD_OF(4, BYTES, saga_state, signals),
    CAFE_FIELD_OF(5, BYTES, saga_state, steps),
    CAFE_FIELD_OF(6, BYTES, saga_state, fired),
    CAFE_FIELD_OF(7, BYTES, saga_state, pending),
};
const cafe_schema saga_state_type = CAFE_SCHEMA_OF("SagaState", saga_state, state_fields);

static const cafe_field mark_fields[] = {
    CAFE_FIELD_OF(1, I64, saga_mark, id),
    CAFE_FIELD_OF(2, I64, saga_mark, value),
};
const cafe_schema saga_mark_type = CAFE_SCHEMA_OF("SagaMark", saga_mark, mark_fields);

static const cafe_field step_fields[] = {
    CAFE_FIELD_OF(1, I64, saga_step_record, id),      CAFE_FIELD_OF(2, I64, saga_step_record, flags),
    CAFE_FIELD_OF(3, I64, saga_step_record, attempt), CAFE_FIELD_OF(4, I64, saga_step_record, before),
    CAFE_FIELD_OF(5, I64, saga_step_record, asked),   CAFE_FIELD_OF(6, TIME, saga_step_record, retry_ms),
};
const cafe_schema saga_step_type = CAFE_SCHEMA_OF("SagaStep", saga_step_record, step_fields);

/* ---- lists of records ---- */

/* A byte, a head, and numbers of at most nine bytes. */
enum { MARK_MAX = 1 + 1 + 2 * 9, STEP_MAX = 1 + 1 + 6 * 9 };

/* All lists of one saga, one behind the other. */
typedef struct record_writer {
  char bytes[(CAFE_SAGA_SIGNALS_MAX + CAFE_SAGA_TIMEOUTS_MAX + CAFE_SAGA_INTERRUPTS_MAX) * MARK_MAX +
             CAFE_SAGA_STEPS_MAX * STEP_MAX];
  char *list; /* where the one that is being written begins */
  char *end;
} record_writer;

static void write_record(record_writer *to, const int64_t *numbers, uint32_t count) {
  char *end = codec_pack_numbers(to->end + 1, numbers, count);
  *to->end = (char)(end - to->end - 1);
  to->end = end;
}

static void write_mark(record_writer *to, uint32_t id, int64_t value) {
  write_record(to, (const int64_t[]){id, value}, 2);
}

/* The records so far as one list. BORROW: as long as the writer. */
static cafe_slice end_list(record_writer *to) {
  cafe_slice list = {to->list, (size_t)(to->end - to->list)};
  to->list = to->end;
  return list;
}

/* Takes the next record off the list: 1, 0 at its end, -1 where the bytes are no record. */
static int read_record(void *record, cafe_slice *list, const cafe_schema *type) {
  if (!list->size) {
    return 0;
  }
  size_t size = (unsigned char)list->data[0];
  if (size > list->size - 1 || cafe_schema_decode(record, type, (cafe_slice){list->data + 1, size}, NULL)) {
    return -1;
  }
  list->data += size + 1;
  list->size -= size + 1;
  return 1;
}

/* ---- save ---- */

static int encode_state(cafe_slice *out, const saga_instance *self, cafe_arena *arena, cafe_err *err) {
  const saga_plan *plan = self->plan;
  saga_state state = {.phase = self->phase};
  record_writer records;
  records.list = records.end = records.bytes;

  state.is_joining = self->at[SAGA_MAIN] == plan->pivot && !(self->steps[plan->pivot].flags & PROGRESS_ENTERED);
  state.guard = self->guard == SAGA_NO ? 0 : plan->interrupts[self->guard].id;
  for (uint32_t i = 0; i < plan->signal_count; i++) {
    if (self->versions[i]) {
      write_mark(&records, plan->signal_ids[i], (int64_t)self->versions[i]);
    }
  }
  state.signals = end_list(&records);
  for (uint32_t i = 0; i < self->trail_count; i++) {
    const progress *p = &self->steps[self->trail[i]];
    const int64_t step[] = {plan->steps[self->trail[i]].id, p->flags, p->attempt, p->before, p->asked, p->retry_ms};
    write_record(&records, step, sizeof(step) / sizeof(step[0]));
  }
  state.steps = end_list(&records);
  for (uint32_t i = 0; i < plan->timeout_count; i++) {
    if (self->fired[i]) {
      write_mark(&records, plan->timeout_ids[i], self->fired[i]);
    }
  }
  state.fired = end_list(&records);
  for (uint32_t i = 0; i < self->pending_count; i++) {
    write_mark(&records, plan->interrupts[self->pending[i]].id, 0);
  }
  state.pending = end_list(&records);
  return cafe_schema_encode(out, arena, &saga_state_type, &state, err);
}

/* The steps where it stands, main's first: "await_started+capture". While it is undone, the one being undone. */
static int describe_steps(cafe_slice *out, const saga_instance *self, cafe_arena *arena) {
  const saga_plan *plan = self->plan;
  const char *names[CAFE_SAGA_STEPS_MAX];
  uint32_t count = 0;
  if (self->phase == SAGA_COMPENSATING) {
    names[count++] = plan->saga->steps[self->trail[self->trail_count - 1]].name;
  }
  for (uint32_t i = 0; i < plan->branch_count; i++) {
    if (self->at[i] != SAGA_NO) {
      names[count++] = plan->saga->steps[self->at[i]].name;
    }
  }
  size_t size = 0;
  for (uint32_t i = 0; i < count; i++) {
    size += strlen(names[i]) + 1;
  }
  *out = (cafe_slice){NULL, 0};
  if (!size) {
    return CAFE_OK;
  }
  char *text = cafe_arena_alloc(arena, size);
  if (!text) {
    return CAFE_NOMEM;
  }
  *out = (cafe_slice){text, size - 1};
  for (uint32_t i = 0; i < count; i++) {
    size_t length = strlen(names[i]);
    memcpy(text, names[i], length);
    text += length;
    *text++ = i + 1 < count ? '+' : '\0';
  }
  return CAFE_OK;
}

static int64_t attempt_of(const saga_instance *self) {
  for (uint32_t i = 0; i < self->trail_count; i++) {
    const progress *p = &self->steps[self->trail[i]];
    if (p->asked || p->retry_ms) {
      return (int64_t)p->attempt - p->before;
    }
  }
  return 0;
}

int saga_save(saga_row *out, const saga_instance *self, int64_t now_ms, cafe_arena *arena, cafe_err *err) {
  const cafe_saga *saga = self->plan->saga;
  memset(out, 0, sizeof(*out));
  out->name = cafe_text(saga->name);
  out->saga_version = saga->version;
  out->phase = saga_instance_phase(self);
  out->guard = self->guard == SAGA_NO ? out->guard : cafe_text(saga->interrupts[self->guard].name);
  out->attempt = attempt_of(self);
  out->started_at_ms = self->started_at_ms;
  out->updated_at_ms = now_ms;
  if (describe_steps(&out->steps, self, arena)) {
    return cafe_fail(err, CAFE_NOMEM, "saga %s: no memory for its row", saga->name);
  }
  int code = saga_due_ms(&out->due_ms, self, err);
  if (!code) {
    code = encode_state(&out->state, self, arena, err);
  }
  return code ? code : cafe_schema_encode(&out->data, arena, saga->data, self->data, err);
}

/* ---- load ---- */

typedef struct loader {
  saga_instance *self;
  const saga_row *row;
  cafe_err *err;
} loader;

static int corrupt(const loader *l, const char *what) {
  return cafe_fail(l->err, CAFE_CORRUPT, "saga %s of key %llu: its row is damaged (%s): restore it from a backup",
                   l->self->plan->saga->name, (unsigned long long)l->self->key, what);
}

static int unknown(const loader *l, const char *what) {
  return cafe_fail(l->err, CAFE_UNSUPPORTED,
                   "saga %s of key %llu: it stands in %.*s, and this definition lacks %s: host the one that has it",
                   l->self->plan->saga->name, (unsigned long long)l->self->key, (int)l->row->steps.size,
                   l->row->steps.size ? l->row->steps.data : "", what);
}

static uint32_t find_interrupt(const saga_plan *plan, int64_t id) {
  for (uint32_t i = 0; i < plan->saga->interrupt_count; i++) {
    if (plan->interrupts[i].id == id) {
      return i;
    }
  }
  return SAGA_NO;
}

static int load_signals(const loader *l, cafe_slice list) {
  saga_instance *self = l->self;
  saga_mark mark;
  int more;
  while ((more = read_record(&mark, &list, &saga_mark_type)) > 0) {
    if (mark.value <= 0) {
      return corrupt(l, "a signal's version");
    }
    for (uint32_t i = 0; i < self->plan->signal_count; i++) {
      if (self->plan->signal_ids[i] == mark.id) {
        self->versions[i] = (uint64_t)mark.value;
        self->seen |= (saga_set)1 << i;
      }
    }
  }
  return more ? corrupt(l, "its signals") : CAFE_OK;
}

static bool is_record(const saga_step_record *record) {
  return record->flags >= 0 && record->flags <= PROGRESS_ALL && record->before >= 0 &&
         record->attempt >= record->before && record->attempt <= UINT32_MAX && record->asked >= 0 &&
         record->asked <= UINT32_MAX && record->retry_ms >= 0;
}

static int load_step(const loader *l, const saga_step_record *record) {
  saga_instance *self = l->self;
  const saga_plan *plan = self->plan;
  uint32_t step = 0;
  while (step < plan->saga->step_count && plan->steps[step].id != record->id) {
    step++;
  }
  if (step == plan->saga->step_count) {
    return unknown(l, "one of its steps");
  }
  bool is_undoing = self->phase == SAGA_COMPENSATING;
  bool has_entered = record->flags & PROGRESS_ENTERED;
  for (uint32_t i = 0; i < self->trail_count; i++) {
    if (self->trail[i] == step) {
      return corrupt(l, "a step is there twice");
    }
  }
  if (!is_record(record) || has_entered == is_undoing) {
    return corrupt(l, "a step");
  }
  const cafe_saga_step *definition = &plan->saga->steps[step];
  bool is_asking = record->asked || record->retry_ms || record->flags & PROGRESS_STUCK;
  if (is_asking && !(is_undoing ? definition->compensation : definition->action)) {
    return unknown(l, "what a step asks for");
  }
  self->trail[self->trail_count++] = (uint8_t)step;
  self->steps[step] = (progress){.flags = (uint8_t)record->flags,
                                 .attempt = (uint32_t)record->attempt,
                                 .before = (uint32_t)record->before,
                                 .asked = (uint32_t)record->asked,
                                 .retry_ms = record->retry_ms};
  if (has_entered && !(record->flags & PROGRESS_LEFT)) {
    uint8_t *at = &self->at[plan->steps[step].branch];
    if (*at != SAGA_NO) {
      return corrupt(l, "two steps of one branch");
    }
    *at = (uint8_t)step;
  }
  return CAFE_OK;
}

static int load_steps(const loader *l, cafe_slice list) {
  saga_step_record record;
  int more;
  while ((more = read_record(&record, &list, &saga_step_type)) > 0) {
    int code = load_step(l, &record);
    if (code) {
      return code;
    }
  }
  return more ? corrupt(l, "its steps") : CAFE_OK;
}

static int load_fired(const loader *l, cafe_slice list) {
  saga_mark mark;
  int more;
  while ((more = read_record(&mark, &list, &saga_mark_type)) > 0) {
    for (uint32_t i = 0; i < l->self->plan->timeout_count; i++) {
      if (l->self->plan->timeout_ids[i] == mark.id) {
        l->self->fired[i] = mark.value;
      }
    }
  }
  return more ? corrupt(l, "its timeouts") : CAFE_OK;
}

static int load_pending(const loader *l, cafe_slice list) {
  saga_instance *self = l->self;
  saga_mark mark;
  int more;
  while ((more = read_record(&mark, &list, &saga_mark_type)) > 0) {
    uint32_t interrupt = find_interrupt(self->plan, mark.id);
    if (interrupt == SAGA_NO) {
      return unknown(l, "an interrupt that waits");
    }
    if (self->pending_count == CAFE_SAGA_INTERRUPTS_MAX) {
      return corrupt(l, "too many interrupts");
    }
    self->pending[self->pending_count++] = (uint8_t)interrupt;
  }
  return more ? corrupt(l, "its interrupts") : CAFE_OK;
}

/* What each phase needs to be one. */
static int check_position(const loader *l, const saga_state *state) {
  saga_instance *self = l->self;
  uint8_t *main_at = &self->at[SAGA_MAIN];
  if (state->is_joining) {
    if (*main_at != SAGA_NO || self->steps[self->plan->pivot].flags & PROGRESS_ENTERED) {
      return corrupt(l, "main stands twice");
    }
    *main_at = self->plan->pivot;
  }
  bool stands = false;
  for (uint32_t i = 0; i < self->plan->branch_count; i++) {
    stands = stands || self->at[i] != SAGA_NO;
  }
  bool is_forward = self->phase == SAGA_RUNNING || self->phase == SAGA_GUARDING;
  if (stands != is_forward || (self->phase == SAGA_COMPENSATING) != (self->trail_count && !stands) ||
      (self->phase == SAGA_GUARDING) != (self->guard != SAGA_NO) ||
      (self->phase == SAGA_GUARDING && *main_at == SAGA_NO)) {
    return corrupt(l, "its phase and its steps don't fit");
  }
  return saga_instance_phase(self) == l->row->phase ? CAFE_OK : corrupt(l, "the phase was changed");
}

static int load_state(const loader *l) {
  saga_instance *self = l->self;
  saga_state state;
  if (cafe_schema_decode(&state, &saga_state_type, l->row->state, NULL) || state.phase == SAGA_PARKED) {
    return corrupt(l, "its state");
  }
  self->phase = state.phase;
  if (state.guard) {
    uint32_t guard = find_interrupt(self->plan, state.guard);
    if (guard == SAGA_NO) {
      return unknown(l, "the interrupt whose guard is asked");
    }
    self->guard = (uint8_t)guard;
  }
  int code = load_signals(l, state.signals);
  if (!code) {
    code = load_steps(l, state.steps);
  }
  if (!code) {
    code = load_fired(l, state.fired);
  }
  if (!code) {
    code = load_pending(l, state.pending);
  }
  return code ? code : check_position(l, &state);
}

int saga_load(saga_instance *self, const saga_row *row, cafe_err *err) {
  const cafe_saga *saga = self->plan->saga;
  loader l = {self, row, err};
  if (!cafe_slice_equal(row->name, cafe_text(saga->name)) || row->saga_version != saga->version) {
    return cafe_fail(err, CAFE_UNSUPPORTED, "saga %s of key %llu runs by version %lld, and version %u was tried",
                     saga->name, (unsigned long long)self->key, (long long)row->saga_version, (unsigned)saga->version);
  }
  /* Texts of what is decoded point into the bytes, which must live as long as the instance. */
  cafe_slice data;
  if (cafe_arena_copy(&data, self->arena, row->data)) {
    return cafe_fail(err, CAFE_NOMEM, "saga %s of key %llu: no memory to load it", saga->name,
                     (unsigned long long)self->key);
  }
  if (cafe_schema_decode(self->data, saga->data, data, NULL)) {
    return corrupt(&l, "what it remembers");
  }
  self->started_at_ms = row->started_at_ms;
  return load_state(&l);
}
