/* SPDX-License-Identifier: Apache-2.0 */

/* Dead letters: a record that fails for a reason of its own gets out of the way, and can be taken up again. */
#include "test_letters_kit.h"

/* Everything that can read the kitchen's log, and how each is poisoned. */
static const struct {
  const char *reader;
  int64_t n;
  int code;        /* by which it fails */
  uint32_t met;    /* of a callback of the test's; 0: the unit fails */
  const char *why; /* what the letter says of it */
} readers[] = {
    {"fills", POISON, CAFE_DENIED, 5, "the policy fills can't react to Stirred of key 7: it is poison"},
    {"fills", UNIT_POISON, CAFE_INVALID, 0, "jar emitted Closed, which it doesn't list among its events"},
    {"mirrors", POISON, CAFE_CORRUPT, 5, "the policy mirrors can't react to Stirred of key 7: it is poison"},
    {"lines", POISON, CAFE_UNSUPPORTED, 5, "the view lines can't fold Stirred of key 7: unsupported"},
    {"places", POISON, CAFE_NOT_FOUND, 5, "the view places can't tell the row of Stirred of key 7: not_found"},
};
enum { READERS = sizeof readers / sizeof readers[0] };

/* What the reader made of the key's records. */
static const char *effect(kitchen *k, const char *reader, uint64_t key) {
  if (strcmp(reader, "lines") == 0)
    return row_text(k, &lines_view, key);
  if (strcmp(reader, "places") == 0)
    return row_text(k, &places_view, key);
  return fills_of(k, key + (strcmp(reader, "fills") == 0 ? 100 : 200));
}

static void assert_effects(kitchen *k, const char *poisoned_reader, const char *text, const char *others) {
  static const char *const all[] = {"fills", "mirrors", "lines", "places"};
  for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
    assert_string_equal(effect(k, all[i], 7), strcmp(all[i], poisoned_reader) == 0 ? text : others);
}

/* Key 7 has 2, the poison and 3, key 8 has 1 and 4; and a minute has passed. */
static kitchen *parked_open(letters_store where, size_t reader) {
  kitchen *k = letters_open(where);
  poison_it(readers[reader].reader, readers[reader].code, -1);
  kitchen_up(k);
  stir(k, 8, 1);
  stir(k, 7, 2);
  stir(k, 7, readers[reader].n);
  stir(k, 7, 3);
  stir(k, 8, 4);
  kitchen_run(k, MINUTE_US);
  return k;
}

static const char *parked_text(size_t reader, int64_t attempts) {
  static char text[64];
  snprintf(text, sizeof text, "7 parked %lld %s, 7 waiting", (long long)attempts, cafe_code_name(readers[reader].code));
  return text;
}

static uint64_t first_letter(kitchen *k, size_t reader) { return letter_number(k, readers[reader].reader, 7, 0); }

#define FOR_EACH_READER                                                                                                \
  for (int where = 0; where < LETTERS_STORES; where++)                                                                 \
    for (size_t reader = 0; reader < READERS; reader++)

/* X10: dead letter after k tries; the records behind it go on, and only those of its key wait */
static void x10_after_k_tries_a_record_is_parked_and_those_behind_it_go_on(void **state) {
  (void)state;
  FOR_EACH_READER {
    kitchen *k = parked_open((letters_store)where, reader);
    assert_string_equal(letters_of(k, readers[reader].reader), parked_text(reader, 5));
    assert_int_equal(dead_letters(k), 2);
    assert_int_equal(poisoned.met, readers[reader].met);
    if (readers[reader].n == POISON)
      assert_effects(k, readers[reader].reader, "2", "2 13 3");
    assert_string_equal(effect(k, readers[reader].reader, 8), "1 4");
    assert_int_equal(k->errors, 1);
    assert_int_equal(k->warnings, 2); /* that, and the first failure */
    assert_non_null(strstr(k->error, readers[reader].why));
    kitchen_close(k);
  }
}

/* X10: it can be edited and replayed; what waited behind it follows by itself, and the log stays as it was */
static void x10_a_letter_is_replayed_with_other_data_and_those_behind_it_follow(void **state) {
  const note other = {99};
  (void)state;
  FOR_EACH_READER {
    kitchen *k = parked_open((letters_store)where, reader);
    assert_int_equal(replay_letter(k, 7, first_letter(k, reader), &other).code, CAFE_OK);
    kitchen_run(k, MINUTE_US);
    assert_string_equal(effect(k, readers[reader].reader, 7), "2 99 3");
    assert_string_equal(letters_of(k, readers[reader].reader), "");
    assert_int_equal(dead_letters(k), 0);
    stir(k, 7, 5);
    letters_restart(k, true);
    kitchen_run(k, MINUTE_US);
    assert_string_equal(effect(k, readers[reader].reader, 7), "2 99 3 5");
    assert_int_equal(stored(k, 7, &Stirred), 4);
    kitchen_close(k);
  }
}

static void a_letter_is_replayed_as_it_is_once_its_reader_is_mended(void **state) {
  (void)state;
  FOR_EACH_READER {
    if (readers[reader].n != POISON)
      continue;
    kitchen *k = parked_open((letters_store)where, reader);
    letters_restart(k, false);
    assert_int_equal(dead_letters(k), 2);
    stir(k, 7, 5);
    poison_it(NULL, CAFE_OK, 0);
    kitchen_run(k, MINUTE_US);
    assert_string_equal(effect(k, readers[reader].reader, 7), "2");
    assert_int_equal(replay_letter(k, 7, first_letter(k, reader), NULL).code, CAFE_OK);
    kitchen_run(k, MINUTE_US);
    assert_string_equal(effect(k, readers[reader].reader, 7), "2 13 3 5");
    assert_int_equal(dead_letters(k), 0);
    kitchen_close(k);
  }
}

static void a_letter_that_fails_again_stays_with_one_attempt_more(void **state) {
  const note still_poison = {POISON}, poison_by_unit = {UNIT_POISON};
  (void)state;
  FOR_EACH_READER {
    kitchen *k = parked_open((letters_store)where, reader);
    uint64_t letter = first_letter(k, reader);
    letter_call again = replay_letter(k, 7, letter, NULL);
    assert_int_equal(again.code, readers[reader].code);
    assert_non_null(strstr(again.text, readers[reader].why));
    assert_string_equal(letters_of(k, readers[reader].reader), parked_text(reader, 6));
    const note *edited = readers[reader].n == POISON ? &still_poison : &poison_by_unit;
    assert_int_equal(replay_letter(k, 7, letter, edited).code, readers[reader].code);
    assert_string_equal(letters_of(k, readers[reader].reader), parked_text(reader, 7));
    letters_restart(k, true);
    assert_string_equal(letters_of(k, readers[reader].reader), parked_text(reader, 7));
    assert_int_equal(first_letter(k, reader), letter);
    assert_int_equal(dead_letters(k), 2);
    assert_string_equal(effect(k, readers[reader].reader, 7), "2");
    kitchen_close(k);
  }
}

static void a_dropped_letter_is_given_up_and_those_behind_it_follow(void **state) {
  (void)state;
  FOR_EACH_READER {
    kitchen *k = parked_open((letters_store)where, reader);
    assert_int_equal(drop_letter(k, 7, first_letter(k, reader), "spilt").code, CAFE_OK);
    kitchen_run(k, MINUTE_US);
    assert_string_equal(effect(k, readers[reader].reader, 7), "2 3");
    assert_int_equal(dead_letters(k), 0);
    assert_string_equal(letters_of(k, readers[reader].reader), "");
    kitchen_close(k);
  }
}

static void a_waiting_letter_can_be_dropped_but_not_replayed(void **state) {
  (void)state;
  FOR_EACH_READER {
    kitchen *k = parked_open((letters_store)where, reader);
    uint64_t second = letter_number(k, readers[reader].reader, 7, 1);
    letter_call early = replay_letter(k, 7, second, NULL);
    assert_int_equal(early.code, CAFE_INVALID);
    assert_non_null(strstr(early.text, "waits behind another one of key 7"));
    assert_int_equal(drop_letter(k, 7, second, "not needed").code, CAFE_OK);
    assert_int_equal(dead_letters(k), 1);
    stir(k, 7, 5);
    kitchen_run(k, MINUTE_US);
    assert_string_equal(letters_of(k, readers[reader].reader), parked_text(reader, 5));
    assert_int_equal(drop_letter(k, 7, first_letter(k, reader), "spilt").code, CAFE_OK);
    kitchen_run(k, MINUTE_US);
    assert_string_equal(effect(k, readers[reader].reader, 7), "2 5");
    kitchen_close(k);
  }
}

static void what_waited_is_parked_itself_if_it_fails(void **state) {
  const note other = {99};
  (void)state;
  FOR_EACH_READER {
    kitchen *k = parked_open((letters_store)where, reader);
    stir(k, 7, readers[reader].n);
    stir(k, 7, 5);
    kitchen_run(k, MINUTE_US);
    uint32_t met = poisoned.met;
    assert_int_equal(dead_letters(k), 4);
    assert_int_equal(replay_letter(k, 7, first_letter(k, reader), &other).code, CAFE_OK);
    kitchen_run(k, MINUTE_US);
    assert_int_equal(poisoned.met - met, readers[reader].met);
    assert_string_equal(effect(k, readers[reader].reader, 7), "2 99 3");
    assert_string_equal(letters_of(k, readers[reader].reader), parked_text(reader, 5));
    letters_restart(k, true);
    assert_int_equal(dead_letters(k), 2);
    assert_int_equal(replay_letter(k, 7, first_letter(k, reader), &other).code, CAFE_OK);
    kitchen_run(k, MINUTE_US);
    assert_string_equal(effect(k, readers[reader].reader, 7), "2 99 3 99 5");
    kitchen_close(k);
  }
}

static void a_crash_between_a_letter_and_those_behind_it_holds_nothing_up(void **state) {
  (void)state;
  FOR_EACH_READER {
    kitchen *k = parked_open((letters_store)where, reader);
    for (int64_t n = 20; n < 30; n++)
      stir(k, 7, n);
    kitchen_run(k, MINUTE_US);
    assert_int_equal(drop_letter(k, 7, first_letter(k, reader), "spilt").code, CAFE_OK);
    letters_restart(k, true);
    kitchen_run(k, MINUTE_US);
    assert_string_equal(effect(k, readers[reader].reader, 7), "2 3 20 21 22 23 24 25 26 27 28 29");
    assert_int_equal(dead_letters(k), 0);
    kitchen_close(k);
  }
}

/* ---- what the letter says ---- */

static void whole_letter(const cafe_err *err, const cafe_page *page, void *user) {
  assert_null(err);
  assert_int_equal(page->count, 1);
  const cafe_dead_letter *row = page->rows[0]->data;
  note data;
  assert_int_equal(row->state, CAFE_LETTER_PARKED);
  assert_int_equal(row->reader, CAFE_LETTER_VIEW);
  assert_true(cafe_slice_equal(row->subscription, cafe_text("lines<.")));
  assert_true(cafe_slice_equal(row->source, cafe_text("kitchen")));
  assert_true(row->log_id > 0);
  assert_int_equal(row->shard, 0);
  assert_int_equal(row->n, 1);
  assert_true(cafe_slice_equal(row->aggregate, cafe_text("jar")));
  assert_true(cafe_slice_equal(row->event, cafe_text("Stirred")));
  assert_int_equal(row->version, 1);
  assert_true(row->time_ms > 0 && row->parked_ms > row->time_ms);
  assert_true(cafe_slice_equal(row->trace, cafe_text("00-11-22-01")));
  assert_int_equal(cafe_schema_decode(&data, &Stirred, row->data, NULL), CAFE_OK);
  assert_int_equal(data.n, POISON);
  assert_true(cafe_slice_equal(row->error, cafe_text("the view lines can't fold Stirred of key 7: denied")));
  *(bool *)user = true;
}

static void a_letter_says_all_of_its_record(void **state) {
  (void)state;
  for (int where = 0; where < LETTERS_STORES; where++) {
    kitchen *k = letters_open((letters_store)where);
    cafe_submit asked = CAFE_SUBMIT_INIT;
    cafe_list list = CAFE_LIST_INIT;
    cafe_filter filters[] = {{.column = "record_key", .equals = cafe_text("7")},
                             {.column = "state", .equals = cafe_text("parked")}};
    note data = {POISON};
    call made = {0};
    bool is_seen = false;
    const void *row;
    poison_it("lines", CAFE_DENIED, -1);
    kitchen_up(k);
    asked.command = &Stir;
    asked.key = 7;
    asked.data = &data;
    asked.data_size = sizeof data;
    asked.trace = cafe_text("00-11-22-01");
    assert_int_equal(cafe_node_submit(NULL, k->node, &asked, call_answered, &made, NULL), CAFE_OK);
    kitchen_run(k, MINUTE_US);
    list.view = &cafe_dead_letters_view;
    list.filters = filters;
    list.filter_count = 2;
    assert_int_equal(cafe_node_list(NULL, k->node, &list, whole_letter, &is_seen, NULL), CAFE_OK);
    kitchen_run(k, MINUTE_US);
    assert_true(is_seen);
    uint64_t letter = letter_number(k, "lines", 7, 0);
    assert_int_equal(cafe_node_find(&row, k->node, &cafe_dead_letters_view, 7, letter, NULL), CAFE_OK);
    assert_int_equal(((const cafe_dead_letter *)row)->attempts, 5);
    char named[100];
    snprintf(named, sizeof named, "7 00-11-22-01 the subscription lines<. to kitchen: Stirred 1 is parked after 5");
    assert_int_equal(strncmp(k->error, named, strlen(named)), 0);
    kitchen_close(k);
  }
}

static void reached_never(const cafe_err *err, void *user) {
  (void)err, (void)user;
  fail_msg("%s", "it can't be awaited");
}

static void letters_are_listed_in_pages_and_found_but_not_awaited(void **state) {
  (void)state;
  kitchen *k = letters_open(IN_MEMORY);
  letter_list page = {0};
  cafe_list list = CAFE_LIST_INIT;
  cafe_position place = {1, 0, 1};
  cafe_err err;
  poison_it("fills", CAFE_DENIED, -1);
  k->max_record_attempts = 1;
  kitchen_up(k);
  for (uint64_t key = 1; key <= 6; key++)
    stir(k, key, POISON);
  kitchen_run(k, MINUTE_US);
  assert_int_equal(dead_letters(k), 6);
  assert_int_equal(poisoned.met, 6); /* once each */
  list.view = &cafe_dead_letters_view;
  list.limit = 4;
  assert_int_equal(cafe_node_list(NULL, k->node, &list, see_letters, &page, NULL), CAFE_OK);
  kitchen_run(k, 1000);
  assert_int_equal(page.count, 4);
  list.after_key = page.letters[3].key;
  list.after_sub = page.letters[3].letter;
  assert_int_equal(cafe_node_list(NULL, k->node, &list, see_letters, &page, NULL), CAFE_OK);
  kitchen_run(k, 1000);
  assert_int_equal(page.count, 6);
  for (uint64_t i = 0; i < 6; i++)
    assert_int_equal(page.letters[i].key, i + 1);
  assert_int_equal(cafe_node_await(NULL, k->node, &cafe_dead_letters_view, &place, 0, reached_never, NULL, &err),
                   CAFE_INVALID);
  kitchen_close(k);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(x10_after_k_tries_a_record_is_parked_and_those_behind_it_go_on),
      cmocka_unit_test(x10_a_letter_is_replayed_with_other_data_and_those_behind_it_follow),
      cmocka_unit_test(a_letter_is_replayed_as_it_is_once_its_reader_is_mended),
      cmocka_unit_test(a_letter_that_fails_again_stays_with_one_attempt_more),
      cmocka_unit_test(a_dropped_letter_is_given_up_and_those_behind_it_follow),
      cmocka_unit_test(a_waiting_letter_can_be_dropped_but_not_replayed),
      cmocka_unit_test(what_waited_is_parked_itself_if_it_fails),
      cmocka_unit_test(a_crash_between_a_letter_and_those_behind_it_holds_nothing_up),
      cmocka_unit_test(a_letter_says_all_of_its_record),
      cmocka_unit_test(letters_are_listed_in_pages_and_found_but_not_awaited),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
