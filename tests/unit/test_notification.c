/* SPDX-License-Identifier: Apache-2.0 */

/* What a customer is told: once for each transition and channel, and on each channel in order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cafe/notification.h"
#include "given_kit.h"

#define QUEUED(number_, event_, channel_)                                                                              \
  CAFE_FACT(cafe_notification_queued_type, cafe_notification_queued, number_, {event_, 1}, {channel_, 1}, {"c", 1},    \
            {"m", 1})
#define SENT(number_)   CAFE_FACT(cafe_notification_sent_type, cafe_notification_sent, number_, 1)
#define FAILED(number_) CAFE_FACT(cafe_notification_failed_type, cafe_notification_failed, number_, 9, {"gone", 4})

#define NOTIFY(event_, channels_)                                                                                      \
  CAFE_FACT(cafe_notify_customer_type, cafe_notify_customer, {event_, sizeof(event_) - 1}, {"c", 1},                   \
            {channels_, sizeof(channels_) - 1}, {"m", 1})
#define DELIVERED(number_, status_)                                                                                    \
  CAFE_FACT(cafe_record_delivery_type, cafe_record_delivery, number_, status_, 3, {"t", 1})

static const cafe_fact commands[] = {
    NOTIFY("A", "x"),
    NOTIFY("A", "x y"),
    NOTIFY("B", "x y x"),
    NOTIFY("A", ""),
    NOTIFY("", "x"),
    DELIVERED(1, CAFE_NOTIFICATION_SENT),
    DELIVERED(1, CAFE_NOTIFICATION_FAILED),
    DELIVERED(1, CAFE_NOTIFICATION_QUEUED),
    {NULL, NULL, 0},
};

#define Q "NotificationQueued"

/* In this order: A on x | A on x and y | B on x, y and x again | A nowhere | nothing on x | 1 sent | 1 failed | 1
 * neither. */
static const cafe_given_case rows[] = {
    {"nothing", NULL, Q " | " Q " " Q " | " Q " " Q " | - | !invalid | !not-found | !not-found | !not-found"},
    {"A queued on x", CAFE_FACTS(QUEUED(1, "A", "x")),
     "- | " Q " | " Q " " Q " | - | !invalid | NotificationSent | NotificationFailed | !invalid"},
    {"A sent on x", CAFE_FACTS(QUEUED(1, "A", "x"), SENT(1)), "- | " Q " | " Q " " Q " | - | !invalid | - | - | -"},
    {"A failed on x", CAFE_FACTS(QUEUED(1, "A", "x"), FAILED(1)), "- | " Q " | " Q " " Q " | - | !invalid | - | - | -"},
    {"A on x, B on y", CAFE_FACTS(QUEUED(1, "A", "x"), QUEUED(2, "B", "y")),
     "- | " Q " | " Q " | - | !invalid | NotificationSent | NotificationFailed | !invalid"},
    {NULL, NULL, NULL, {NULL, NULL}},
};

static void every_command_is_answered_in_every_state(void **unused) {
  given_table(&cafe_notification_aggregate, commands, rows);
}

static cafe_given *it;

static int begin(void **unused) {
  it = given_begin(&cafe_notification_aggregate);
  return 0;
}

static int end(void **unused) {
  given_end(it);
  return 0;
}

static void notify(const char *event, const char *customer_id, const char *channels) {
  cafe_notify_customer ask = {cafe_text(event), cafe_text(customer_id), cafe_text(channels), cafe_text("message")};
  cafe_given_command(it, &cafe_notify_customer_type, &ask, sizeof(ask));
}

static void numbers_rise_through_the_order(void **unused) {
  notify("Ordered", "cdgri", "console file");
  notify("OrderAccepted", "", "console file");
  const cafe_notification_queued *last = cafe_given_data(it, &cafe_notification_queued_type);
  assert_int_equal(last->number, 4);
  assert_true(cafe_slice_equal(last->event, cafe_text("OrderAccepted")));
  assert_true(cafe_slice_equal(last->channel, cafe_text("file")));
  assert_true(cafe_slice_equal(last->customer_id, cafe_text("cdgri")));
  assert_true(cafe_slice_equal(last->message, cafe_text("message")));
  assert_int_equal(((const cafe_notifications *)cafe_given_state(it))->count, 4);
}

static void channels_are_named_with_any_number_of_spaces(void **unused) {
  notify("Ordered", "c", "  console   file ");
  assert_string_equal(cafe_given_said(it), "accepted NotificationQueued NotificationQueued");
  assert_true(
      cafe_slice_equal(((const cafe_notification_queued *)cafe_given_data(it, &cafe_notification_queued_type))->channel,
                       cafe_text("file")));
  notify("Ordered", "c", "   ");
  assert_string_equal(cafe_given_said(it), "unchanged");
}

#define TASK(number_, event_, channel_)                                                                                \
  CAFE_FACT_TASK(number_, cafe_delivery_task_type, cafe_delivery_task, .number = number_, .event = cafe_text(event_),  \
                 .channel = cafe_text(channel_), .customer_id = {"c", 1}, .message = cafe_text("message"))

static void on_each_channel_only_the_first_unsent_is_wanted(void **unused) {
  notify("Ordered", "c", "x y");
  notify("OrderAccepted", "c", "x y");
  cafe_then_wants(it, CAFE_FACTS(TASK(1, "Ordered", "x"), TASK(2, "Ordered", "y")));
  cafe_given_event(it, CAFE_DATA(cafe_notification_sent_type, cafe_notification_sent, 2, 1));
  cafe_then_wants(it, CAFE_FACTS(TASK(1, "Ordered", "x"), TASK(4, "OrderAccepted", "y")));
  cafe_given_event(it, CAFE_DATA(cafe_notification_failed_type, cafe_notification_failed, .number = 1, .attempts = 20));
  cafe_then_wants(it, CAFE_FACTS(TASK(3, "OrderAccepted", "x"), TASK(4, "OrderAccepted", "y")));
}

static void a_delivery_tells_its_attempts_and_why_it_failed(void **unused) {
  notify("Ordered", "c", "x y");
  cafe_record_delivery record = {1, CAFE_NOTIFICATION_SENT, 2, {NULL, 0}};
  cafe_given_command(it, &cafe_record_delivery_type, &record, sizeof(record));
  assert_int_equal(((const cafe_notification_sent *)cafe_given_data(it, &cafe_notification_sent_type))->attempts, 2);
  record = (cafe_record_delivery){2, CAFE_NOTIFICATION_FAILED, 20, cafe_text("no such person")};
  cafe_given_command(it, &cafe_record_delivery_type, &record, sizeof(record));
  const cafe_notification_failed *failed = cafe_given_data(it, &cafe_notification_failed_type);
  assert_int_equal(failed->number, 2);
  assert_int_equal(failed->attempts, 20);
  assert_true(cafe_slice_equal(failed->text, cafe_text("no such person")));
}

static void a_customer_who_becomes_known_later_is_known_from_then_on(void **unused) {
  notify("PaymentCanceled", "", "x");
  notify("Ordered", "cdgri", "x");
  notify("OrderAccepted", "", "x");
  assert_true(cafe_slice_equal(
      ((const cafe_notification_queued *)cafe_given_data(it, &cafe_notification_queued_type))->customer_id,
      cafe_text("cdgri")));
}

static void commands_and_events_it_does_not_know_change_nothing(void **unused) {
  given_refuses_unlisted(&cafe_notification_aggregate, &cafe_notification_sent_type, &(cafe_notification_sent){1, 1},
                         "unsupported");
  cafe_given_event(it, CAFE_DATA(cafe_notification_sent_type, cafe_notification_sent, 7, 1));
  assert_int_equal(((const cafe_notifications *)cafe_given_state(it))->count, 0);
}

static void every_table_is_sound_and_no_event_holds_a_secret(void **unused) {
  given_end(given_begin(&cafe_notification_aggregate));
  assert_int_equal(cafe_schema_check(&cafe_delivery_task_type, NULL), CAFE_OK);
}

static void without_memory_it_says_so(void **unused) {
  /* Long enough that each text needs memory of its own. */
  static char text[5000];
  memset(text, 'x', sizeof(text));
  cafe_slice big = {text, sizeof(text)};
  cafe_notification_queued queued = {1, big, big, big, big};
  cafe_notification_queued next = {2, big, big, big, big};
  given_starve(&cafe_notification_aggregate,
               (const cafe_fact[]){{&cafe_notification_queued_type, &queued, sizeof(queued)},
                                   {&cafe_notification_queued_type, &next, sizeof(next)},
                                   {NULL, NULL}});
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_command_is_answered_in_every_state),
      TEST(numbers_rise_through_the_order),
      TEST(channels_are_named_with_any_number_of_spaces),
      TEST(on_each_channel_only_the_first_unsent_is_wanted),
      TEST(a_delivery_tells_its_attempts_and_why_it_failed),
      TEST(a_customer_who_becomes_known_later_is_known_from_then_on),
      TEST(commands_and_events_it_does_not_know_change_nothing),
      cmocka_unit_test(every_table_is_sound_and_no_event_holds_a_secret),
      cmocka_unit_test(without_memory_it_says_so),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
