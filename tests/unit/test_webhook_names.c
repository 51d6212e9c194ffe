/* SPDX-License-Identifier: Apache-2.0 */
/* Names are looked up beside the loop: while the system's resolver doesn't answer, the loop turns, a delivery runs out
 * of time or is stopped, and the channel is destroyed, all of it at once. The resolver is the test's: it holds whoever
 * asks until it is told to let go. */
#include "cafe/channel/webhook.h"

#include <netdb.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>
#include <curl/curl.h>

#include "http_letters.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int asked, answered;
static bool is_silent = true;

/* Seen by libcurl, in the place of the C library's. */
#pragma GCC visibility push(default)
int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **out) {
  pthread_mutex_lock(&lock);
  asked++;
  pthread_cond_broadcast(&changed);
  while (is_silent) {
    pthread_cond_wait(&changed, &lock);
  }
  answered++;
  pthread_cond_broadcast(&changed);
  pthread_mutex_unlock(&lock);
  return EAI_NONAME;
}
#pragma GCC visibility pop

static void set_silent(bool is_wanted) {
  pthread_mutex_lock(&lock);
  is_silent = is_wanted;
  pthread_cond_broadcast(&changed);
  pthread_mutex_unlock(&lock);
}

static int read_locked(const int *count) {
  pthread_mutex_lock(&lock);
  int value = *count;
  pthread_mutex_unlock(&lock);
  return value;
}

/* Turns until so many have asked. */
static void wait_asked(post_office *office, int wanted) {
  struct timespec now;
  assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &now), 0);
  time_t until = now.tv_sec + 20;
  while (read_locked(&asked) < wanted) {
    assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &now), 0);
    assert_true(now.tv_sec < until);
    still_loop_turn(office->still);
  }
}

static int setup(void **state) {
  cafe_webhook_options options = CAFE_WEBHOOK_OPTIONS_INIT;
  post_office *office = post_office_open();
  options.url = "http://receiver.example/hook";
  options.timeout_ms = 1000;
  assert_int_equal(cafe_webhook_create(&office->channel, office->loop, &options, &office->memory.allocator, NULL),
                   CAFE_OK);
  set_silent(true);
  asked = answered = 0;
  *state = office;
  return 0;
}

/* Who was forgotten is let go of, so that no thread outlives the program. */
static int teardown(void **state) {
  post_office_close(*state);
  set_silent(false);
  pthread_mutex_lock(&lock);
  while (answered < asked) {
    pthread_cond_wait(&changed, &lock);
  }
  pthread_mutex_unlock(&lock);
  return 0;
}

static void a_name_that_is_not_known_is_told_and_may_pass(void **state) {
  post_office *office = *state;
  letter l;
  set_silent(false);
  letter_init(&l, "1-1", "m");
  letter_send(&l, office);
  assert_int_equal(letter_wait(&l, office), CAFE_UNAVAILABLE);
  assert_non_null(strstr(l.err.text, "receiver.example"));
}

static void a_silent_resolver_holds_up_nobody(void **state) {
  post_office *office = *state;
  letter late, stopped;
  letter_init(&late, "1-1", "m");
  letter_init(&stopped, "1-2", "m");
  letter_send(&late, office);
  letter_send(&stopped, office);
  wait_asked(office, 2);
  bool waits = curl_version_info(CURLVERSION_NOW)->version_num < 0x075700; /* as webhook.h says */
  set_silent(!waits);
  office->channel->ops->stop(office->channel, &stopped.base.delivery);
  still_loop_advance(office->still, 1000000);
  assert_int_equal(letter_wait(&late, office), CAFE_TIMEOUT);
  assert_int_equal(stopped.answers, 0);
  assert_true(waits || read_locked(&answered) == 0); /* it is still silent, and the channel can go */
  cafe_channel_destroy(office->channel);
  office->channel = NULL;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(a_name_that_is_not_known_is_told_and_may_pass, setup, teardown),
      cmocka_unit_test_setup_teardown(a_silent_resolver_holds_up_nobody, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
