/* SPDX-License-Identifier: Apache-2.0 */

/* What an aggregate is asked, and what it says: judged as a node judges it, so that what passes here is taken there. */
#include "base/str.h"
#include "testing/given_core.h"

static const cafe_command_type *taken(const cafe_aggregate *aggregate, const cafe_schema *command) {
  const cafe_command_type *type = aggregate->commands;
  while (type->command && type->command != command) {
    type++;
  }
  return type->command ? type : NULL;
}

/* NULL, and told: it isn't asked such a thing. */
static const cafe_command_type *begin(cafe_given *it, const cafe_schema *command) {
  if (!given_begin(it)) {
    return NULL;
  }
  if (!it->aggregate) {
    given_fail(it, "%s: only an aggregate decides", command->name);
    return NULL;
  }
  const cafe_command_type *type = taken(it->aggregate, command);
  if (!type) {
    given_fail(it, "the aggregate %s doesn't list %s among its commands", it->aggregate->name, command->name);
  }
  return type;
}

/* ---- deciding ---- */

static bool decide_once(cafe_given *it, cafe_decision *out, cafe_verdict *verdict, const cafe_command_type *type,
                        const void *data) {
  const cafe_aggregate *owner = it->aggregate;
  cafe_err err;
  void *handed = given_hand(it, type->command, data);
  if (!handed) {
    return false;
  }
  cafe_command command = {.type = type->command, .key = it->key, .now_ms = it->now_ms, .data = handed};
  collector_init(&out->events, it->answer);
  out->reason = out->text = NULL;
  *verdict = owner->decide(out, it->fold.state, &command, owner->user);
  given_spoil(type->command, handed);
  if (out->events.err.code) {
    return given_fail(it, "the aggregate %s can't decide %s: %s", owner->name, type->command->name,
                      out->events.err.text);
  }
  if (decision_check(out, *verdict, type, &err)) {
    return given_fail(it, "%s", err.text);
  }
  for (const collected *item = out->events.first; item; item = item->next) {
    if (!given_lists(owner->events, item->type)) {
      return given_fail(it, "%s emitted %s, which it doesn't list among its events", owner->name, item->type->name);
    }
  }
  return true;
}

static const char *line_of(cafe_given *it, cafe_verdict verdict, const cafe_decision *decision) {
  if (verdict != CAFE_REFUSED) {
    return words_verdict(verdict);
  }
  return arena_printf(it->answer, "refused:%s", decision->reason);
}

static void compare_decisions(given_words *words, const cafe_decision *first, const cafe_decision *again) {
  const collected *one = first->events.first, *other = again->events.first;
  while (one && other && one->type == other->type) {
    words_compare(words, "  ", one->type, one->data, other->data);
    one = one->next;
    other = other->next;
  }
  if (one || other) {
    words_add(words, "  first %s, then %s", one ? one->type->name : "nothing", other ? other->type->name : "nothing");
  }
}

/* Twice, since nothing but its arguments may decide. */
static bool decide(cafe_given *it, const cafe_command_type *type, const void *data) {
  cafe_decision decision, again;
  cafe_verdict verdict, verdict_again;
  if (!decide_once(it, &decision, &verdict, type, data) || !decide_once(it, &again, &verdict_again, type, data)) {
    return false;
  }
  given_words words = {it->words, NULL, false};
  const char *line = line_of(it, verdict, &decision), *line_again = line_of(it, verdict_again, &again);
  if (!line || !line_again) {
    return given_fail(it, "no memory to say what was said");
  }
  if (strcmp(line, line_again) != 0) {
    words_add(&words, "  first %s, then %s", line, line_again);
  }
  compare_decisions(&words, &decision, &again);
  if (!given_judge(it, &words, "one state decides one %s in two ways: it must be pure", type->command->name)) {
    return false;
  }
  it->verdict = verdict;
  it->reason = decision.reason;
  it->text = decision.text;
  it->line = line;
  return given_say(it, &decision.events);
}

/* The command as the aggregate's own schema has it; NULL, and told. */
static const void *take(cafe_given *it, const cafe_schema *command, const void *data, size_t size) {
  cafe_err err;
  if (schema_take(&data, command, data, size, it->answer, &err)) {
    given_fail(it, "%s", err.text);
    return NULL;
  }
  return data;
}

bool cafe_when(cafe_given *it, const cafe_schema *command, const void *data, size_t size) {
  const cafe_command_type *type = begin(it, command);
  const void *taken_data = type ? take(it, command, data, size) : NULL;
  return taken_data && decide(it, type, taken_data);
}

bool cafe_given_command(cafe_given *it, const cafe_schema *command, const void *data, size_t size) {
  bool is_well = cafe_when(it, command, data, size);
  for (const given_item *item = it->said.first; is_well && item; item = item->next) {
    is_well = given_happen(it, item->fact.type, item->fact.data, item->fact.size);
  }
  return is_well;
}

bool cafe_when_given_up(cafe_given *it, const cafe_schema *command, const void *data, size_t size) {
  const cafe_command_type *type = begin(it, command);
  const void *taken_data = type ? take(it, command, data, size) : NULL;
  void *handed = taken_data ? given_hand(it, command, taken_data) : NULL;
  const cafe_aggregate *owner = it->aggregate;
  if (!handed) {
    return false;
  }
  if (!owner->give_up) {
    return given_fail(it, "the aggregate %s has no give_up", owner->name);
  }
  cafe_command asked = {.type = command, .key = it->key, .now_ms = it->now_ms, .data = handed};
  cafe_reaction reaction;
  collector_init(&reaction.commands, it->answer);
  owner->give_up(&reaction, &asked, owner->user);
  given_spoil(command, handed);
  const collected *named = reaction.commands.first;
  if (reaction.commands.err.code) {
    return given_fail(it, "the aggregate %s can't give up %s: %s", owner->name, command->name,
                      reaction.commands.err.text);
  }
  if (named && (named->next || named->key != it->key)) {
    return given_fail(it, "the aggregate %s gives up %s by more than one command, or one to another key", owner->name,
                      command->name);
  }
  return given_say(it, &reaction.commands);
}

/* ---- then ---- */

/* NULL, and told: nothing was asked. */
static bool compare_said(cafe_given *it, given_words *words, const cafe_fact *events) {
  given_list wanted;
  if (!it->verdict) {
    return given_fail(it, "nothing was asked since something else happened: cafe_when goes before it");
  }
  if (!given_take(it, &wanted, events, it->answer)) {
    return false;
  }
  words_compare_lists(words, "event", &wanted, &it->said, 0);
  return true;
}

static void compare_verdict(given_words *words, const cafe_given *it, const char *wanted, const char *got) {
  if (strcmp(wanted, got) != 0) {
    words_add(words, "  wanted %s, got %s%s%s", wanted, got, it->text ? ": " : "", it->text ? it->text : "");
  }
}

bool cafe_then_says(cafe_given *it, cafe_verdict verdict, const cafe_fact *events) {
  given_words words = {it->words, NULL, false};
  if (it->why) {
    return false;
  }
  const char *got =
      it->verdict == CAFE_REFUSED ? arena_printf(it->answer, "refused:%s", it->reason) : words_verdict(it->verdict);
  if (!got) {
    return given_fail(it, "no memory to compare what was said");
  }
  if (verdict != CAFE_REFUSED || it->verdict != CAFE_REFUSED) {
    compare_verdict(&words, it, words_verdict(verdict), got);
  }
  return compare_said(it, &words, events) && given_judge(it, &words, "what is said isn't what was wanted");
}

bool cafe_then_refuses(cafe_given *it, const char *reason, const cafe_fact *events) {
  given_words words = {it->words, NULL, false};
  if (it->why) {
    return false;
  }
  const char *wanted = arena_printf(it->answer, "refused:%s", reason);
  const char *got =
      it->verdict == CAFE_REFUSED ? arena_printf(it->answer, "refused:%s", it->reason) : words_verdict(it->verdict);
  if (!wanted || !got) {
    return given_fail(it, "no memory to compare what was said");
  }
  compare_verdict(&words, it, wanted, got);
  return compare_said(it, &words, events) && given_judge(it, &words, "what is said isn't what was wanted");
}

static bool look_for_tasks(cafe_given *it, given_list *out) {
  const cafe_aggregate *owner = it->aggregate;
  cafe_tasks tasks;
  cafe_err err;
  collector_init(&tasks.wanted, it->answer);
  owner->tasks(&tasks, it->fold.state, owner->user);
  if (collector_check(&tasks.wanted, owner->task_types, owner->name, &err)) {
    return given_fail(it, "the aggregate %s can't name its tasks: %s", owner->name, err.text);
  }
  given_list said = it->said;
  const char *line = it->line;
  it->said = (given_list){NULL, NULL};
  bool is_well = given_say(it, &tasks.wanted);
  *out = it->said;
  it->said = said;
  it->line = line;
  for (const given_item *item = out->first; is_well && item; item = item->next) {
    for (const given_item *before = out->first; before != item; before = before->next) {
      if (before->fact.task == item->fact.task) {
        return given_fail(it, "the aggregate %s wants two tasks with the id %u", owner->name, item->fact.task);
      }
    }
  }
  return is_well;
}

bool cafe_then_wants(cafe_given *it, const cafe_fact *tasks) {
  given_list wanted, got = {NULL, NULL};
  given_words words = {it->words, NULL, false};
  if (it->why || !given_take(it, &wanted, tasks, it->answer)) {
    return false;
  }
  if (!it->aggregate) {
    return given_fail(it, "only an aggregate wants tasks");
  }
  if (it->aggregate->tasks && it->count && !look_for_tasks(it, &got)) {
    return false;
  }
  words_compare_lists(&words, "task", &wanted, &got, 0);
  return given_judge(it, &words, "the tasks that are wanted aren't those");
}

/* ---- the table ---- */

static const char *add_answer(cafe_given *it, cafe_arena *arena, const char *row) {
  static const char *const marks[] = {"", "", "-", "?", "!"};
  const char *line = arena_printf(arena, "%s%s%s%s", row, row[0] ? " | " : "", marks[it->verdict],
                                  it->verdict == CAFE_REFUSED ? it->reason : "");
  const char *gap = it->verdict == CAFE_REFUSED ? " " : "";
  for (const given_item *item = it->said.first; line && item; item = item->next) {
    line = arena_printf(arena, "%s%s%s", line, gap, item->fact.type->name);
    gap = " ";
  }
  return line;
}

/* What is said in one state. NULL: something failed, which is told. */
static const char *row_of(cafe_given *it, cafe_arena *arena, const cafe_fact *commands, const cafe_given_case *at) {
  const char *row = "";
  for (; row && commands->type; commands++) {
    cafe_given_reset(it);
    if (!cafe_given_events(it, at->given) || !cafe_when(it, commands->type, commands->data, commands->size)) {
      return NULL;
    }
    row = add_answer(it, arena, row);
  }
  if (!row) {
    given_fail(it, "no memory for the answers of a row");
  }
  return row;
}

bool cafe_given_table(cafe_given *it, const cafe_fact *commands, const cafe_given_case *cases) {
  if (it->why) {
    return false;
  }
  cafe_arena *arena = cafe_arena_create(&it->allocator);
  if (!arena) {
    return given_fail(it, "no memory for a table");
  }
  given_words words = {arena, NULL, false};
  for (; cases->name; cases++) {
    const char *said = row_of(it, arena, commands, cases);
    if (!said) {
      words_add(&words, "%s: %s", cases->name, it->why);
    } else if (strcmp(said, cases->said) != 0) {
      words_add(&words, "%s\n  wanted %s\n  got    %s", cases->name, cases->said, said);
    }
  }
  cafe_given_reset(it);
  bool is_well = given_judge(it, &words, "what is said in these states isn't what was wanted");
  cafe_arena_destroy(arena);
  return is_well;
}
