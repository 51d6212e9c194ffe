/* SPDX-License-Identifier: Apache-2.0 */
/* The simulated loop: the same seed does the same, every order that may be does occur, and none that may not. */
#include "cafe/testing/sim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "cafe/sys/loop.h"
#include "failing_alloc.h"

static cafe_loop *make(uint64_t seed, const cafe_sim_options *options) {
  cafe_loop *loop;
  cafe_err err;
  assert_int_equal(cafe_sim_create(&loop, seed, options, &err), CAFE_OK);
  return loop;
}

/* ---- what happened, as a text ---- */

typedef struct script {
  char text[4096];
  size_t size;
} script;

typedef struct actor {
  cafe_loop *loop;
  script *script;
  char name;
  int again; /* how often it starts anew */
  int64_t pause_us;
  cafe_timer timer;
  cafe_job job;
  cafe_wake wake;
  cafe_lane lane;
} actor;

static void write_down(script *s, char who, char what) {
  assert_true(s->size + 3 < sizeof(s->text));
  s->text[s->size++] = who;
  s->text[s->size++] = what;
  s->text[s->size++] = ' ';
  s->text[s->size] = '\0';
}

static void start(actor *a, int64_t due_us) {
  assert_int_equal(a->loop->ops->timer_start(a->loop, &a->timer, due_us, NULL), CAFE_OK);
}

static void submit(actor *a) { assert_int_equal(a->loop->ops->work(a->loop, a->lane, &a->job, NULL), CAFE_OK); }

static void on_fire(cafe_timer *timer) {
  actor *a = timer->user;
  write_down(a->script, a->name, 't');
  if (a->again-- > 0) {
    start(a, cafe_sim_now_us(a->loop) + a->pause_us);
  }
}

static void on_run(cafe_job *job) {
  actor *a = job->user;
  write_down(a->script, a->name, 'r');
}

static void on_done(cafe_job *job) {
  actor *a = job->user;
  write_down(a->script, a->name, 'd');
  if (a->again-- > 0) {
    submit(a);
  }
}

static void on_woken(cafe_wake *wake) {
  actor *a = wake->user;
  write_down(a->script, a->name, 'w');
}

static void actor_init(actor *a, cafe_loop *loop, script *s, char name) {
  memset(a, 0, sizeof(*a));
  a->loop = loop;
  a->script = s;
  a->name = name;
  a->timer.fire = on_fire;
  a->timer.user = a;
  a->job.run = on_run;
  a->job.done = on_done;
  a->job.user = a;
  a->wake.woken = on_woken;
  a->wake.user = a;
}

/* A bit of everything; returns what happened and the digest. */
static uint64_t play(script *s, uint64_t seed) {
  actor a[8];
  cafe_sim_options options = CAFE_SIM_OPTIONS_INIT;
  options.job_max_us = 300;
  options.late_max_us = 50;
  cafe_loop *loop = make(seed, &options);
  cafe_loop *other;
  assert_int_equal(cafe_sim_join(&other, loop, NULL), CAFE_OK);
  memset(s, 0, sizeof(*s));
  for (int i = 0; i < 8; i++) {
    actor_init(&a[i], i % 2 ? loop : other, s, (char)('a' + i));
    a[i].again = 10;
    a[i].lane = i & 2 ? CAFE_LANE_READ : CAFE_LANE_WRITE;
    if (i < 4) {
      a[i].pause_us = (int64_t)(a[i].loop->ops->random(a[i].loop) % 200);
      start(&a[i], 0);
    } else {
      submit(&a[i]);
    }
  }
  cafe_sim_run(loop, -1);
  uint64_t digest = cafe_sim_digest(loop);
  cafe_loop_destroy(loop);
  cafe_loop_destroy(other);
  return digest;
}

static void the_same_seed_does_the_same(void **state) {
  static script first, second;
  for (uint64_t seed = 0; seed < 50; seed++) {
    /* Other addresses must not change anything. */
    void *in_the_way = malloc((size_t)seed * 40 + 8);
    uint64_t digest = play(&first, seed);
    free(in_the_way);
    assert_true(play(&second, seed) == digest);
    assert_string_equal(first.text, second.text);
  }
}

static void another_seed_does_other_things(void **state) {
  static script scripts[10];
  for (uint64_t seed = 0; seed < 10; seed++) {
    uint64_t digest = play(&scripts[seed], seed);
    for (uint64_t before = 0; before < seed; before++) {
      assert_string_not_equal(scripts[before].text, scripts[seed].text);
      script again;
      assert_true(play(&again, before) != digest);
    }
  }
}

/* Sets a bit for each order in which the letters a, b, c come in the text with `what` behind them. */
static unsigned order_of_three(const script *s, char what) {
  static const char *const orders[6] = {"abc", "acb", "bac", "bca", "cab", "cba"};
  char found[4] = "";
  int count = 0;
  for (size_t i = 0; i + 1 < s->size; i += 3) {
    if (s->text[i + 1] == what) {
      assert_true(count < 3);
      found[count++] = s->text[i];
    }
  }
  for (unsigned i = 0; i < 6; i++) {
    if (strcmp(orders[i], found) == 0) {
      return 1u << i;
    }
  }
  fail_msg("not three letters: %s", s->text);
  return 0;
}

static void things_that_are_ready_together_happen_in_every_order(void **state) {
  unsigned orders = 0;
  for (uint64_t seed = 0; seed < 200; seed++) {
    script s = {"", 0};
    actor a[3];
    cafe_loop *loop = make(seed, NULL);
    for (int i = 0; i < 3; i++) {
      actor_init(&a[i], loop, &s, (char)('a' + i));
      start(&a[i], 2000000);
    }
    assert_int_equal(cafe_sim_run(loop, -1), 3);
    orders |= order_of_three(&s, 't');
    cafe_loop_destroy(loop);
  }
  assert_int_equal(orders, 0x3f);
}

static void an_orderly_world_does_all_in_the_order_of_its_time(void **state) {
  for (uint64_t seed = 0; seed < 50; seed++) {
    script s = {"", 0};
    actor a[4];
    cafe_sim_options options = CAFE_SIM_OPTIONS_INIT;
    options.is_orderly = true;
    options.job_min_us = options.job_max_us = 1000;
    cafe_loop *loop = make(seed, &options);
    for (int i = 0; i < 4; i++) {
      actor_init(&a[i], loop, &s, (char)('a' + i));
    }
    int64_t end_us = cafe_sim_now_us(loop) + 1000;
    start(&a[0], end_us);
    submit(&a[1]);
    start(&a[2], end_us);
    start(&a[3], end_us - 1);
    cafe_sim_run(loop, -1);
    assert_string_equal(s.text, "dt at br bd ct ");
    cafe_loop_destroy(loop);
  }
}

static void what_is_due_earlier_fires_first_unless_time_may_run_late(void **state) {
  for (int late = 0; late < 2; late++) {
    unsigned orders = 0;
    for (uint64_t seed = 0; seed < 200; seed++) {
      script s = {"", 0};
      actor a[3];
      cafe_sim_options options = CAFE_SIM_OPTIONS_INIT;
      options.late_max_us = late ? 1000 : 0;
      cafe_loop *loop = make(seed, &options);
      for (int i = 0; i < 3; i++) {
        actor_init(&a[i], loop, &s, (char)('a' + i));
        start(&a[i], 2000000 - i * 100); /* c, b, a */
      }
      assert_int_equal(cafe_sim_run(loop, -1), 3);
      orders |= order_of_three(&s, 't');
      cafe_loop_destroy(loop);
    }
    assert_int_equal(orders, late ? 0x3f : 0x20);
  }
}

static void jobs_of_a_lane_keep_their_order_and_lanes_do_not_wait_for_each_other(void **state) {
  bool done_before_next_run = false, run_before_done = false, read_first = false, write_first = false;
  for (uint64_t seed = 0; seed < 200; seed++) {
    script s = {"", 0};
    actor a[4];
    cafe_sim_options options = CAFE_SIM_OPTIONS_INIT;
    options.job_min_us = seed % 2 ? 0 : 10;
    options.job_max_us = seed % 2 ? 0 : 1000;
    cafe_loop *loop = make(seed, &options);
    for (int i = 0; i < 4; i++) {
      actor_init(&a[i], loop, &s, (char)('a' + i));
      a[i].lane = i < 3 ? CAFE_LANE_WRITE : CAFE_LANE_READ;
      submit(&a[i]);
      assert_int_equal(s.size, 0);
    }
    assert_int_equal(cafe_sim_run(loop, -1), 8);
    const char *at[8] = {strstr(s.text, "ar"), strstr(s.text, "ad"), strstr(s.text, "br"), strstr(s.text, "bd"),
                         strstr(s.text, "cr"), strstr(s.text, "cd"), strstr(s.text, "dr"), strstr(s.text, "dd")};
    assert_true(at[0] < at[2] && at[2] < at[4]); /* runs */
    assert_true(at[1] < at[3] && at[3] < at[5]); /* completions */
    for (int i = 0; i < 4; i++) {
      assert_true(at[2 * i] && at[2 * i] < at[2 * i + 1]);
    }
    done_before_next_run |= at[1] < at[2];
    run_before_done |= at[2] < at[1];
    read_first |= at[6] < at[0];
    write_first |= at[5] < at[6];
    cafe_loop_destroy(loop);
  }
  assert_true(done_before_next_run && run_before_done && read_first && write_first);
}

static void a_job_takes_its_time_and_its_effect_lies_within(void **state) {
  int64_t shortest = INT64_MAX, longest = 0;
  for (uint64_t seed = 0; seed < 300; seed++) {
    script s = {"", 0};
    actor a;
    cafe_loop *loop = make(seed, NULL);
    cafe_sim_set_job_delay(loop, 100, 200);
    actor_init(&a, loop, &s, 'a');
    submit(&a);
    int64_t before_us = cafe_sim_now_us(loop);
    assert_true(cafe_sim_step(loop));
    assert_string_equal(s.text, "ar ");
    assert_in_range(cafe_sim_now_us(loop) - before_us, 0, 200);
    assert_true(cafe_sim_step(loop));
    assert_string_equal(s.text, "ar ad ");
    int64_t took_us = cafe_sim_now_us(loop) - before_us;
    assert_in_range(took_us, 100, 200);
    shortest = took_us < shortest ? took_us : shortest;
    longest = took_us > longest ? took_us : longest;
    assert_false(cafe_sim_step(loop));
    cafe_loop_destroy(loop);
  }
  assert_true(shortest < 110 && longest > 190);
}

static void time_stands_still_while_something_may_happen(void **state) {
  script s = {"", 0};
  actor a, b;
  cafe_loop *loop = make(1, NULL);
  actor_init(&a, loop, &s, 'a');
  actor_init(&b, loop, &s, 'b');
  start(&a, cafe_sim_now_us(loop) + 5000);
  start(&b, cafe_sim_now_us(loop) - 5000);
  int64_t before_us = cafe_sim_now_us(loop);
  assert_int_equal(loop->ops->timeout_ms(loop), 0);
  assert_true(cafe_sim_step(loop));
  assert_int_equal(cafe_sim_now_us(loop), before_us);
  assert_int_equal(loop->ops->timeout_ms(loop), 5);
  assert_true(cafe_sim_step(loop));
  assert_int_equal(cafe_sim_now_us(loop), before_us + 5000);
  assert_string_equal(s.text, "bt at ");
  assert_int_equal(loop->ops->timeout_ms(loop), -1);
  assert_false(cafe_sim_step(loop));
  assert_int_equal(cafe_sim_now_us(loop), before_us + 5000);
  cafe_loop_destroy(loop);
}

static void a_run_ends_at_its_time(void **state) {
  script s = {"", 0};
  actor a;
  cafe_loop *loop = make(1, NULL);
  actor_init(&a, loop, &s, 'a');
  a.again = 1000;
  a.pause_us = 1000;
  int64_t begin_us = cafe_sim_now_us(loop);
  start(&a, begin_us + 1000);
  assert_int_equal(cafe_sim_run(loop, begin_us + 5500), 5);
  assert_int_equal(cafe_sim_now_us(loop), begin_us + 5500);
  assert_int_equal(cafe_sim_run(loop, begin_us + 6000), 1);
  assert_int_equal(cafe_sim_run(loop, begin_us), 0);
  assert_int_equal(cafe_sim_now_us(loop), begin_us + 6000);
  loop->ops->timer_stop(loop, &a.timer);
  cafe_loop_destroy(loop);
}

static void the_utc_clock_may_jump_and_goes_on_from_there(void **state) {
  cafe_loop *loop = make(1, NULL);
  assert_int_equal(loop->ops->utc_ms(loop), INT64_C(1767225600000));
  cafe_sim_run(loop, cafe_sim_now_us(loop) + 2500000);
  assert_int_equal(loop->ops->utc_ms(loop), INT64_C(1767225602500));
  int64_t before_us = cafe_sim_now_us(loop);
  cafe_sim_set_utc(loop, 1000);
  assert_int_equal(loop->ops->utc_ms(loop), 1000);
  assert_int_equal(cafe_sim_now_us(loop), before_us);
  cafe_sim_run(loop, before_us + 1000000);
  assert_int_equal(loop->ops->utc_ms(loop), 2000);
  cafe_loop_destroy(loop);
}

static void timers_are_moved_and_stopped_in_every_state(void **state) {
  script s = {"", 0};
  actor a, b;
  cafe_loop *loop = make(3, NULL);
  actor_init(&a, loop, &s, 'a');
  actor_init(&b, loop, &s, 'b');
  loop->ops->timer_stop(loop, &a.timer);
  int64_t now_us = cafe_sim_now_us(loop);

  start(&a, now_us + 9000);
  start(&a, now_us + 1000);
  start(&b, now_us + 2000);
  assert_int_equal(cafe_sim_run(loop, now_us + 1500), 1);

  start(&a, 0); /* ready: moved away */
  assert_int_equal(loop->ops->timeout_ms(loop), 0);
  start(&a, now_us + 5000);
  assert_int_equal(loop->ops->timeout_ms(loop), 1);

  start(&b, 0); /* ready: stopped */
  assert_int_equal(loop->ops->timeout_ms(loop), 0);
  loop->ops->timer_stop(loop, &b.timer);
  assert_int_equal(cafe_sim_run(loop, -1), 1);
  assert_string_equal(s.text, "at at ");
  assert_int_equal(cafe_sim_now_us(loop), now_us + 5000);
  cafe_loop_destroy(loop);
}

static void signals_before_a_wake_are_one(void **state) {
  script s = {"", 0};
  actor a;
  cafe_loop *loop = make(3, NULL);
  actor_init(&a, loop, &s, 'a');
  assert_int_equal(loop->ops->wake_open(loop, &a.wake, NULL), CAFE_OK);
  assert_false(cafe_sim_step(loop));
  loop->ops->wake_signal(loop, &a.wake);
  loop->ops->wake_signal(loop, &a.wake);
  assert_int_equal(s.size, 0);
  assert_int_equal(cafe_sim_run(loop, -1), 1);
  loop->ops->wake_signal(loop, &a.wake);
  assert_int_equal(cafe_sim_run(loop, -1), 1);
  assert_string_equal(s.text, "aw aw ");
  loop->ops->wake_signal(loop, &a.wake);
  loop->ops->wake_close(loop, &a.wake);
  loop->ops->wake_close(loop, &a.wake);
  assert_false(cafe_sim_step(loop));
  cafe_loop_destroy(loop);
}

static int nested_code;
static void turn_inside(cafe_timer *timer) {
  cafe_loop *loop = timer->user;
  nested_code = loop->ops->turn(loop, 0);
}

static void a_turn_does_one_thing_and_waits_in_virtual_time_only(void **state) {
  script s = {"", 0};
  actor a, b;
  cafe_loop *loop = make(3, NULL);
  int64_t begin_us = cafe_sim_now_us(loop);
  actor_init(&a, loop, &s, 'a');
  actor_init(&b, loop, &s, 'b');
  start(&a, begin_us + 4000);
  start(&b, begin_us + 60000000);
  assert_int_equal(loop->ops->turn(loop, 0), CAFE_OK);
  assert_int_equal(loop->ops->turn(loop, 3), CAFE_OK);
  assert_int_equal(cafe_sim_now_us(loop), begin_us + 3000);
  assert_int_equal(s.size, 0);
  assert_int_equal(loop->ops->turn(loop, 3), CAFE_OK);
  assert_int_equal(cafe_sim_now_us(loop), begin_us + 4000);
  assert_int_equal(loop->ops->turn(loop, -1), CAFE_OK);
  assert_int_equal(cafe_sim_now_us(loop), begin_us + 60000000);
  assert_string_equal(s.text, "at bt ");
  assert_int_equal(loop->ops->fd(loop), -1);

  cafe_timer nested = {turn_inside, loop, {NULL, NULL}};
  assert_int_equal(loop->ops->timer_start(loop, &nested, 0, NULL), CAFE_OK);
  assert_int_equal(loop->ops->turn(loop, 0), CAFE_OK);
  assert_int_equal(nested_code, CAFE_INVALID);
  cafe_loop_destroy(loop);
}

static void a_lane_that_is_not_known_is_refused(void **state) {
  script s = {"", 0};
  actor a;
  cafe_err err;
  cafe_loop *loop = make(3, NULL);
  actor_init(&a, loop, &s, 'a');
  assert_int_equal(loop->ops->work(loop, (cafe_lane)CAFE_LANES, &a.job, &err), CAFE_UNSUPPORTED);
  assert_int_equal(cafe_sim_run(loop, -1), 0);
  assert_int_equal(s.size, 0);
  cafe_loop_destroy(loop);
}

static void watches_are_refused(void **state) {
  cafe_err err;
  cafe_watch watch = {NULL, 0, NULL, {NULL, NULL}};
  cafe_loop *loop = make(3, NULL);
  assert_int_equal(loop->ops->watch_start(loop, &watch, CAFE_READABLE, &err), CAFE_UNSUPPORTED);
  loop->ops->watch_stop(loop, &watch);
  cafe_loop_destroy(loop);
}

static cafe_loop *doomed;
static void crash_now(cafe_timer *timer) { cafe_sim_crash(doomed); }

static void a_crash_takes_what_is_pending_on_one_loop_only(void **state) {
  script s = {"", 0};
  actor *a = calloc(3, sizeof(*a));
  actor b;
  cafe_loop *other = make(3, NULL);
  assert_int_equal(cafe_sim_join(&doomed, other, NULL), CAFE_OK);
  for (int i = 0; i < 3; i++) {
    actor_init(&a[i], doomed, &s, (char)('a' + i));
    start(&a[i], cafe_sim_now_us(doomed) + 10 * i);
    submit(&a[i]);
    assert_int_equal(doomed->ops->wake_open(doomed, &a[i].wake, NULL), CAFE_OK);
    doomed->ops->wake_signal(doomed, &a[i].wake);
  }
  assert_true(cafe_sim_step(doomed)); /* some are ready, some have run */
  assert_true(cafe_sim_step(doomed));
  cafe_sim_crash(doomed);
  free(a);
  size_t before = s.size;
  assert_false(cafe_sim_step(other));
  assert_int_equal(s.size, before);

  /* It can be used again, and may crash in its own callback. */
  cafe_timer timer = {crash_now, NULL, {NULL, NULL}};
  actor_init(&b, other, &s, 'x');
  start(&b, cafe_sim_now_us(other) + 10);
  assert_int_equal(doomed->ops->timer_start(doomed, &timer, 0, NULL), CAFE_OK);
  actor c;
  actor_init(&c, doomed, &s, 'y');
  start(&c, cafe_sim_now_us(other) + 10);
  assert_int_equal(cafe_sim_run(other, -1), 2);
  assert_string_equal(s.text + before, "xt ");
  cafe_loop_destroy(other);
  cafe_loop_destroy(doomed);
}

static void draws_of_the_program_do_not_move_fate(void **state) {
  script first = {"", 0}, second = {"", 0};
  for (int round = 0; round < 2; round++) {
    actor a[6];
    cafe_loop *loop = make(77, NULL);
    for (int i = 0; i < 6; i++) {
      actor_init(&a[i], loop, round ? &second : &first, (char)('a' + i));
      start(&a[i], 0);
      if (round) {
        (void)loop->ops->random(loop);
      }
    }
    cafe_sim_run(loop, -1);
    cafe_loop_destroy(loop);
  }
  assert_string_equal(first.text, second.text);
}

static void wrong_delays_are_refused(void **state) {
  cafe_err err;
  cafe_loop *loop;
  cafe_sim_options options = CAFE_SIM_OPTIONS_INIT;
  options.job_min_us = 5;
  assert_int_equal(cafe_sim_create(&loop, 1, &options, &err), CAFE_INVALID);
  options.job_max_us = 5;
  options.late_max_us = -1;
  assert_int_equal(cafe_sim_create(&loop, 1, &options, &err), CAFE_INVALID);
}

static int use_everything(const cafe_allocator *allocator) {
  script s = {"", 0};
  actor a, b;
  cafe_loop *loop, *other = NULL;
  cafe_sim_options options = CAFE_SIM_OPTIONS_INIT;
  options.allocator = allocator;
  int code = cafe_sim_create(&loop, 1, &options, NULL);
  if (code != CAFE_OK) {
    return code;
  }
  actor_init(&a, loop, &s, 'a');
  actor_init(&b, loop, &s, 'b');
  code = cafe_sim_join(&other, loop, NULL);
  for (int i = 0; i < 2 && code == CAFE_OK; i++) {
    code = loop->ops->timer_start(loop, &a.timer, 0, NULL);
    (void)loop->ops->timeout_ms(loop); /* makes it ready: the second round moves a timer that is */
  }
  if (code == CAFE_OK) {
    code = loop->ops->work(loop, CAFE_LANE_READ, &b.job, NULL);
  }
  if (code == CAFE_OK) {
    code = loop->ops->wake_open(loop, &a.wake, NULL);
  }
  uint64_t steps = cafe_sim_run(loop, -1);
  assert_true(code != CAFE_OK || steps == 3);
  loop->ops->timer_stop(loop, &a.timer);
  loop->ops->wake_close(loop, &a.wake);
  if (other) {
    cafe_loop_destroy(other);
  }
  cafe_loop_destroy(loop);
  return code;
}

static void every_refused_allocation_is_told_and_leaves_nothing_behind(void **state) {
  failing_alloc memory;
  int code = CAFE_OK;
  size_t n;
  for (n = 1; failing_alloc_begin(&memory, n); n++) {
    code = use_everything(&memory.allocator);
    failing_alloc_end(&memory);
    assert_int_equal(code, memory.refused ? CAFE_NOMEM : CAFE_OK);
  }
  assert_int_equal(code, CAFE_OK);
  assert_true(n > 8);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_same_seed_does_the_same),
      cmocka_unit_test(another_seed_does_other_things),
      cmocka_unit_test(things_that_are_ready_together_happen_in_every_order),
      cmocka_unit_test(an_orderly_world_does_all_in_the_order_of_its_time),
      cmocka_unit_test(what_is_due_earlier_fires_first_unless_time_may_run_late),
      cmocka_unit_test(jobs_of_a_lane_keep_their_order_and_lanes_do_not_wait_for_each_other),
      cmocka_unit_test(a_job_takes_its_time_and_its_effect_lies_within),
      cmocka_unit_test(time_stands_still_while_something_may_happen),
      cmocka_unit_test(a_run_ends_at_its_time),
      cmocka_unit_test(the_utc_clock_may_jump_and_goes_on_from_there),
      cmocka_unit_test(timers_are_moved_and_stopped_in_every_state),
      cmocka_unit_test(signals_before_a_wake_are_one),
      cmocka_unit_test(a_turn_does_one_thing_and_waits_in_virtual_time_only),
      cmocka_unit_test(a_lane_that_is_not_known_is_refused),
      cmocka_unit_test(watches_are_refused),
      cmocka_unit_test(a_crash_takes_what_is_pending_on_one_loop_only),
      cmocka_unit_test(draws_of_the_program_do_not_move_fate),
      cmocka_unit_test(wrong_delays_are_refused),
      cmocka_unit_test(every_refused_allocation_is_told_and_leaves_nothing_behind),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
