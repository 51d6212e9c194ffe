/* SPDX-License-Identifier: Apache-2.0 */

/* A view with dead letters is made anew, and verified: each record is in the rows once, in its order, or is a letter.
 */
#include "cafe/upkeep.h"
#include "failing_alloc.h"
#include "test_letters_kit.h"

/* ---- two views whose definitions change ---- */

static cafe_view lines, places;
static const cafe_view *const changing_views[] = {&lines, &places, NULL};
static const cafe_policy *const no_policies[] = {NULL};

static kitchen *open_kitchen(letters_store where) {
  kitchen *k = letters_open(where);
  lines = lines_view;
  places = places_view;
  k->service.policies = no_policies;
  k->service.views = changing_views;
  return k;
}

typedef struct upkeep {
  uint32_t times;
  int code;
  char text[240];
  cafe_rebuild_report report;
} upkeep;

static void kept_up(const cafe_err *err, const cafe_rebuild_report *report, void *user) {
  upkeep *u = user;
  u->times++;
  u->code = err ? (int)err->code : CAFE_OK;
  snprintf(u->text, sizeof u->text, "%s", err ? err->text : "");
  if (report)
    u->report = *report;
}

static int begin(kitchen *k, upkeep *u, const cafe_view *view, bool verifies) {
  memset(u, 0, sizeof *u);
  return verifies ? cafe_node_verify(NULL, k->node, view, kept_up, u, NULL)
                  : cafe_node_rebuild(NULL, k->node, view, kept_up, u, NULL);
}

static void finish(kitchen *k, const upkeep *u) {
  for (int i = 0; i < 1000 && !u->times; i++)
    kitchen_run(k, 10000);
  assert_int_equal(u->times, 1);
}

static upkeep keep_up(kitchen *k, const cafe_view *view, bool verifies) {
  upkeep u;
  assert_int_equal(begin(k, &u, view, verifies), CAFE_OK);
  finish(k, &u);
  return u;
}

static uint64_t wrong(const cafe_rebuild_report *report) {
  return report->differing + report->missing + report->surplus;
}

static uint64_t verify(kitchen *k, const cafe_view *view) {
  upkeep u = keep_up(k, view, true);
  assert_int_equal(u.code, CAFE_OK);
  return wrong(&u.report);
}

static void rebuild(kitchen *k, const cafe_view *view) {
  upkeep u = keep_up(k, view, false);
  if (u.code)
    fail_msg("%s", u.text);
}

/* Key 7 has 1, what is parked, and what stands behind it; key 9 nothing but letters; key 8 is well. */
static void stir_letters(kitchen *k, const char *reader) {
  poison_it(reader, CAFE_DENIED, -1);
  stir(k, 7, 1);
  stir(k, 7, POISON);
  stir(k, 7, 2);
  stir(k, 8, 5);
  stir(k, 9, POISON);
  stir(k, 8, 6);
  kitchen_run(k, MINUTE_US);
}

static kitchen *open_with_letters(letters_store where) {
  kitchen *k = open_kitchen(where);
  kitchen_up(k);
  stir_letters(k, "lines");
  assert_string_equal(letters_of(k, "lines"), "7 parked 5 denied, 7 waiting, 9 parked 5 denied");
  return k;
}

static void assert_rows(kitchen *k, const char *seventh, const char *ninth) {
  assert_string_equal(row_text(k, &lines, 7), seventh);
  assert_string_equal(row_text(k, &lines, 8), "5 6");
  assert_string_equal(row_text(k, &lines, 9), ninth);
}

/* No letter is left, and all later records come behind. */
static void assert_all_done(kitchen *k) {
  poison_it(NULL, CAFE_OK, 0);
  assert_int_equal(dead_letters(k), 0);
  assert_string_equal(letters_of(k, "lines"), "");
  assert_rows(k, "1 13 2", "13");
  assert_int_equal(verify(k, &lines), 0);
  stir(k, 7, 3);
  letters_restart(k, true);
  kitchen_run(k, MINUTE_US);
  assert_int_equal(dead_letters(k), 0);
  assert_rows(k, "1 13 2 3", "13");
  assert_int_equal(verify(k, &lines), 0);
}

/* Replays parked letters until there are none. */
static void replay_all(kitchen *k) {
  letter_list list;
  poison_it(NULL, CAFE_OK, 0);
  for (int round = 0; round < 20 && dead_letters(k); round++) {
    assert_int_equal(read_letters(k, &list), CAFE_OK);
    for (uint32_t i = 0; i < list.count; i++)
      if (list.letters[i].state == CAFE_LETTER_PARKED)
        assert_int_equal(replay_letter(k, list.letters[i].key, list.letters[i].letter, NULL).code, CAFE_OK);
    kitchen_run(k, MINUTE_US);
  }
}

/* ---- what it comes to ---- */

static void a_view_that_lacks_its_letters_is_what_its_events_say(void **state) {
  (void)state;
  for (int where = 0; where < LETTERS_STORES; where++) {
    kitchen *k = open_with_letters((letters_store)where);
    upkeep u = keep_up(k, &lines, true);
    assert_int_equal(u.report.rows, 2);
    assert_int_equal(wrong(&u.report), 0);
    assert_int_equal(verify(k, &places), 0);
    letters_restart(k, true);
    kitchen_run(k, MINUTE_US);
    assert_int_equal(verify(k, &lines), 0);
    assert_int_equal(dead_letters(k), 3);
    assert_rows(k, "1", "");
    replay_all(k);
    assert_all_done(k);
    kitchen_close(k);
  }
}

/* The row that it belongs to isn't known, either. */
static void a_view_that_cant_tell_the_row_of_an_event_is_made_anew_without_it(void **state) {
  (void)state;
  for (int where = 0; where < LETTERS_STORES; where++) {
    kitchen *k = open_kitchen((letters_store)where);
    kitchen_up(k);
    stir_letters(k, "places");
    assert_int_equal(verify(k, &places), 0);
    rebuild(k, &places);
    assert_int_equal(verify(k, &places), 0);
    assert_string_equal(letters_of(k, "places"), "7 parked 1 denied, 7 waiting, 9 parked 1 denied");
    assert_string_equal(row_text(k, &places, 7), "1");
    replay_all(k);
    assert_string_equal(row_text(k, &places, 7), "1 13 2");
    assert_string_equal(row_text(k, &places, 9), "13");
    kitchen_close(k);
  }
}

static void what_fails_again_in_a_rebuild_is_parked_again(void **state) {
  (void)state;
  for (int where = 0; where < LETTERS_STORES; where++) {
    kitchen *k = open_with_letters((letters_store)where);
    for (int round = 0; round < 2; round++) {
      uint32_t errors = k->errors;
      rebuild(k, &lines);
      assert_string_equal(letters_of(k, "lines"), "7 parked 1 denied, 7 waiting, 9 parked 1 denied");
      assert_int_equal(k->errors, errors + 2); /* each is told */
      assert_non_null(strstr(k->error, "lines<."));
      assert_int_equal(dead_letters(k), 3);
      assert_rows(k, "1", "");
      assert_int_equal(verify(k, &lines), 0);
    }
    stir(k, 7, 4); /* behind them */
    kitchen_run(k, MINUTE_US);
    assert_int_equal(dead_letters(k), 4);
    letters_restart(k, true);
    kitchen_run(k, MINUTE_US);
    assert_int_equal(dead_letters(k), 4);
    replay_all(k);
    assert_rows(k, "1 13 2 4", "13");
    assert_int_equal(verify(k, &lines), 0);
    kitchen_close(k);
  }
}

static void a_rebuild_takes_up_the_letters_of_a_view_that_was_mended(void **state) {
  (void)state;
  for (int where = 0; where < LETTERS_STORES; where++) {
    kitchen *k = open_with_letters((letters_store)where);
    uint64_t letter = letter_number(k, "lines", 7, 0);
    poison_it(NULL, CAFE_OK, 0);
    rebuild(k, &lines);
    assert_int_equal(replay_letter(k, 7, letter, NULL).code, CAFE_NOT_FOUND);
    assert_all_done(k);
    kitchen_close(k);
  }
}

static void a_new_version_takes_up_the_letters_of_the_old_one(void **state) {
  (void)state;
  for (int where = 0; where < LETTERS_STORES; where++) {
    kitchen *k = open_with_letters((letters_store)where);
    poison_it(NULL, CAFE_OK, 0);
    lines.version = 2;
    letters_restart(k, true);
    kitchen_run(k, MINUTE_US);
    assert_all_done(k);
    kitchen_close(k);
  }
}

static void what_a_new_version_fails_on_is_parked_and_the_rest_is_there(void **state) {
  (void)state;
  for (int where = 0; where < LETTERS_STORES; where++) {
    kitchen *k = open_kitchen((letters_store)where);
    kitchen_up(k);
    stir_letters(k, "nobody");
    assert_rows(k, "1 13 2", "13");
    poison_it("lines", CAFE_DENIED, -1);
    lines.version = 2;
    letters_restart(k, true);
    kitchen_run(k, MINUTE_US);
    assert_string_equal(letters_of(k, "lines"), "7 parked 1 denied, 7 waiting, 9 parked 1 denied");
    assert_rows(k, "1", "");
    replay_all(k);
    assert_all_done(k);
    kitchen_close(k);
  }
}

/* An edit is in no log, and so is a drop. */
static void a_rebuild_knows_nothing_of_edits_and_drops(void **state) {
  (void)state;
  note other = {99};
  for (int where = 0; where < LETTERS_STORES; where++) {
    kitchen *k = open_with_letters((letters_store)where);
    assert_int_equal(replay_letter(k, 7, letter_number(k, "lines", 7, 0), &other).code, CAFE_OK);
    assert_int_equal(drop_letter(k, 9, letter_number(k, "lines", 9, 0), "spilt").code, CAFE_OK);
    kitchen_run(k, MINUTE_US);
    assert_rows(k, "1 99 2", "");
    upkeep u = keep_up(k, &lines, true);
    assert_int_equal(u.report.differing, 1); /* that one of the edit; nobody can say what is missing of the other */
    assert_int_equal(u.report.first_key, 7);
    assert_int_equal(u.report.missing + u.report.surplus, 0);
    rebuild(k, &lines);
    assert_string_equal(letters_of(k, "lines"), "7 parked 1 denied, 7 waiting, 9 parked 1 denied");
    assert_rows(k, "1", "");
    poison_it(NULL, CAFE_OK, 0);
    rebuild(k, &lines);
    assert_all_done(k);
    kitchen_close(k);
  }
}

static void an_outdated_view_has_its_letters_taken_up_by_nobody_but_its_rebuild(void **state) {
  (void)state;
  for (int where = 0; where < LETTERS_STORES; where++) {
    kitchen *k = open_with_letters((letters_store)where);
    poison_it("lines", CAFE_UNAVAILABLE, -1); /* so the rebuild is tried again and again */
    lines.version = 2;
    letters_restart(k, true);
    kitchen_run(k, MINUTE_US);
    letter_call made = replay_letter(k, 7, letter_number(k, "lines", 7, 0), NULL);
    assert_int_equal(made.code, CAFE_UNAVAILABLE);
    assert_non_null(strstr(made.text, "lines"));
    assert_int_equal(drop_letter(k, 7, letter_number(k, "lines", 7, 0), "spilt").code, CAFE_OK);
    kitchen_run(k, MINUTE_US);
    assert_string_equal(letters_of(k, "lines"), "7 waiting, 9 parked 5 denied"); /* it goes on waiting */
    assert_rows(k, "1", "");
    poison_it(NULL, CAFE_OK, 0);
    kitchen_run(k, 2 * MINUTE_US);
    assert_all_done(k);
    kitchen_close(k);
  }
}

/* What would leave hardly anything of a view is no view's rebuild. */
static void a_definition_that_fails_on_everything_replaces_nothing(void **state) {
  (void)state;
  kitchen *k = open_kitchen(IN_MEMORY);
  cafe_arena *arena = cafe_arena_create(NULL);
  cafe_slice data;
  note spilt = {POISON};
  kitchen_up(k);
  stir(k, 8, 5);
  kitchen_run(k, MINUTE_US);
  kitchen_down(k);
  assert_int_equal(cafe_schema_encode(&data, arena, &Stirred, &spilt, NULL), CAFE_OK);
  for (uint64_t key = 1000; key < 1000 + 65536 + 1; key++)
    kitchen_append(k, "jar", &Stirred, key, 1, data);
  poison_it("lines", CAFE_DENIED, -1);
  lines.version = 2;
  kitchen_up(k);
  kitchen_run(k, MINUTE_US);
  assert_non_null(strstr(k->error, "lines"));
  assert_non_null(strstr(k->error, "mend it first"));
  assert_int_equal(dead_letters(k), 0);
  assert_string_equal(row_text(k, &lines, 8), "5");
  cafe_arena_destroy(arena);
  kitchen_close(k);
}

/* ---- what happens meanwhile ---- */

typedef enum meanwhile { REPLAYS, REPLAYS_EDITED, DROPS, PARKS, MEANWHILES } meanwhile;

/* How it begins: with letters, or soon to have some. */
static kitchen *prepare(meanwhile what, letters_store where) {
  if (what != PARKS)
    return open_with_letters(where);
  kitchen *k = open_kitchen(where);
  kitchen_up(k);
  stir(k, 7, 1);
  stir(k, 8, 5);
  kitchen_run(k, MINUTE_US);
  return k;
}

static void do_it(kitchen *k, meanwhile what, uint64_t letter, letter_call *made) {
  note same = {POISON};
  call calls[4] = {0};
  memset(made, 0, sizeof *made);
  switch (what) {
  case REPLAYS:
    poison_it(NULL, CAFE_OK, 0);
    assert_int_equal(begin_replay(k, made, 7, letter, NULL), CAFE_OK);
    break;
  case REPLAYS_EDITED: /* to what it would have been, and fails all the same: nobody sees the difference */
    poison_it("lines", CAFE_DENIED, -1);
    assert_int_equal(begin_replay(k, made, 7, letter, &same), CAFE_OK);
    break;
  case DROPS:
    assert_int_equal(cafe_node_drop_letter(NULL, k->node, 7, letter, "spilt", letter_answered, made, NULL), CAFE_OK);
    break;
  default:
    poison_it("lines", CAFE_DENIED, -1);
    submit(k, &calls[0], &Stir, 7, POISON, NULL);
    submit(k, &calls[1], &Stir, 7, 2, NULL);
    submit(k, &calls[2], &Stir, 8, 6, NULL);
    submit(k, &calls[3], &Stir, 9, POISON, NULL);
    kitchen_run(k, MINUTE_US);
    for (int i = 0; i < 4; i++)
      assert_int_equal(calls[i].code, CAFE_OK);
  }
  kitchen_run(k, MINUTE_US);
}

static void check_end(kitchen *k, meanwhile what, bool verifies, const upkeep *u, const letter_call *made) {
  assert_int_equal(u->times, 1);
  assert_int_equal(u->code, CAFE_OK);
  assert_int_equal(verifies ? wrong(&u->report) : 0, 0);
  assert_int_equal(made->times, what != PARKS);
  if (what == REPLAYS_EDITED)
    assert_true(made->code == CAFE_DENIED || (made->code == CAFE_NOT_FOUND && !verifies));
  else
    assert_true(made->code == CAFE_OK || (made->code == CAFE_NOT_FOUND && !verifies));
  assert_int_equal(verify(k, &lines), 0);
  replay_all(k);
  if (what != DROPS)
    assert_all_done(k);
  else
    assert_rows(k, verifies ? "1 2" : "1 13 2", "13"); /* a rebuild brings it back */
}

/* At each step of it: nothing is folded twice, and nothing lost; and what is verified is right at every moment. */
static void letters_come_and_go_while_their_view_is_made_anew(void **state) {
  (void)state;
  uint64_t steps = 0;
  for (int how = 0; how < MEANWHILES * 2 * LETTERS_STORES; how++) {
    meanwhile what = (meanwhile)(how / 2 % MEANWHILES);
    bool verifies = how % 2, is_over = false;
    for (int step = 0; !is_over; step++, steps++) {
      kitchen *k = prepare(what, (letters_store)(how / 2 / MEANWHILES));
      letter_call made;
      upkeep u;
      uint64_t letter = what == PARKS ? 0 : letter_number(k, "lines", 7, 0);
      assert_int_equal(begin(k, &u, &lines, verifies), CAFE_OK);
      for (int i = 0; i < step && !u.times; i++)
        cafe_sim_step(k->loop);
      is_over = u.times > 0;
      do_it(k, what, letter, &made);
      finish(k, &u);
      check_end(k, what, verifies, &u, &made);
      kitchen_close(k);
    }
  }
  print_message("at %llu moments\n", (unsigned long long)steps);
}

/* ---- what fails ---- */

typedef enum fault_kind { FAIL_CALL, DIE_BEFORE, DIE_AFTER, FAIL_ALLOC } fault_kind;

static void set_fault(kitchen *k, failing_alloc *memory, fault_kind kind, uint64_t n) {
  cafe_store_faults faults = CAFE_STORE_FAULTS_INIT;
  *(kind == FAIL_CALL    ? &faults.fail_call
    : kind == DIE_BEFORE ? &faults.die_before_commit
                         : &faults.die_after_commit) = kind == FAIL_ALLOC ? 0 : n;
  cafe_faulty_store_set(k->store, &faults);
  memory->calls = 0;
  memory->refused = 0;
  memory->fail_at = kind == FAIL_ALLOC ? n : 0;
}

/* With letters that go, one that comes, and ones that come again. Whether the fault was hit. */
static bool play(letters_store where, bool verifies, fault_kind kind, uint64_t n) {
  failing_alloc memory;
  kitchen *k = open_kitchen(where);
  cafe_store_counts counts = {.size = sizeof counts};
  upkeep u;
  failing_alloc_init(&memory);
  k->allocator = &memory.allocator;
  kitchen_up(k);
  stir_letters(k, "lines");
  stir(k, 9, 1);
  kitchen_run(k, MINUTE_US);
  set_fault(k, &memory, kind, n);
  int code = begin(k, &u, &lines, verifies);
  for (int i = 0; i < 2000 && !u.times && !code; i++) {
    kitchen_run(k, 10000);
    cafe_faulty_store_count(k->store, &counts);
    if (counts.is_dead)
      break;
  }
  cafe_faulty_store_count(k->store, &counts);
  bool is_hit = counts.faults || counts.is_dead || memory.refused;
  assert_true(counts.is_dead || code == CAFE_NOMEM || u.times == 1);
  assert_true(is_hit || u.code == CAFE_OK);
  assert_int_equal(verifies && !u.code ? wrong(&u.report) : 0, 0);
  memory.fail_at = 0;
  letters_restart(k, counts.is_dead);
  kitchen_run(k, MINUTE_US);
  assert_int_equal(dead_letters(k), 4);
  assert_rows(k, "1", "");
  assert_int_equal(verify(k, &lines), 0);
  replay_all(k);
  assert_rows(k, "1 13 2", "13 1");
  assert_int_equal(verify(k, &lines), 0);
  kitchen_close(k);
  failing_alloc_end(&memory);
  return is_hit;
}

static void enumerate(fault_kind kind, uint64_t at_least) {
  uint64_t most = 0;
  int stores = kind == FAIL_ALLOC ? IN_A_FILE : LETTERS_STORES;
  for (int i = 0; i < 2 * stores; i++) {
    uint64_t n = 1;
    while (play((letters_store)(i / 2), i % 2, kind, n))
      n++;
    most = n > most ? n : most;
    assert_true(n > at_least);
  }
  print_message("fault: up to %llu times\n", (unsigned long long)most - 1);
}

static void any_store_call_may_fail(void **state) {
  (void)state;
  enumerate(FAIL_CALL, 5);
}

static void the_process_may_die_before_any_write(void **state) {
  (void)state;
  enumerate(DIE_BEFORE, 1);
}

static void the_process_may_die_after_any_write(void **state) {
  (void)state;
  enumerate(DIE_AFTER, 1);
}

static void any_allocation_may_fail(void **state) {
  (void)state;
  enumerate(FAIL_ALLOC, 10);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_view_that_lacks_its_letters_is_what_its_events_say),
      cmocka_unit_test(a_view_that_cant_tell_the_row_of_an_event_is_made_anew_without_it),
      cmocka_unit_test(what_fails_again_in_a_rebuild_is_parked_again),
      cmocka_unit_test(a_rebuild_takes_up_the_letters_of_a_view_that_was_mended),
      cmocka_unit_test(a_new_version_takes_up_the_letters_of_the_old_one),
      cmocka_unit_test(what_a_new_version_fails_on_is_parked_and_the_rest_is_there),
      cmocka_unit_test(a_rebuild_knows_nothing_of_edits_and_drops),
      cmocka_unit_test(an_outdated_view_has_its_letters_taken_up_by_nobody_but_its_rebuild),
      cmocka_unit_test(a_definition_that_fails_on_everything_replaces_nothing),
      cmocka_unit_test(letters_come_and_go_while_their_view_is_made_anew),
      cmocka_unit_test(any_store_call_may_fail),
      cmocka_unit_test(the_process_may_die_before_any_write),
      cmocka_unit_test(the_process_may_die_after_any_write),
      cmocka_unit_test(any_allocation_may_fail),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
