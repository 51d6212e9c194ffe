/* SPDX-License-Identifier: Apache-2.0 */

/* What the services ask of each other, and what people read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cafe/fulfillment.h"
#include "cafe/notification.h"
#include "cafe/payment.h"
#include "domain/policies.h"
#include "domain/services.h"
#include "schema/collect.h"
#include "view/dashboard.h"

#define LINES                                                                                                          \
  .product_id = {"latte", 5}, .qty = 2, .customer_id = {"cdgri", 5}, .amount_minor = 9000, .currency = {"KRW", 3},     \
  .store_id = {"1", 1}

static cafe_arena *arena;

static int begin(void **unused) {
  arena = cafe_arena_create(NULL);
  return arena ? 0 : -1;
}

static int end(void **unused) {
  cafe_arena_destroy(arena);
  return 0;
}

/* The one command that the policy asks for, or NULL. */
static const collected *react(const cafe_policy *policy, const cafe_schema *type, const void *data) {
  cafe_reaction reaction = {.commands = {.arena = arena}};
  cafe_event event = {.type = type, .key = 1041, .data = data};
  policy->react(&reaction, &event, policy->user);
  assert_int_equal(reaction.commands.err.code, CAFE_OK);
  assert_true(reaction.commands.count <= 1);
  assert_true(!reaction.commands.first || reaction.commands.first->key == 1041);
  return reaction.commands.first;
}

#define REACT(policy, stem, ...) react(&(policy), &cafe_##stem##_type, &(cafe_##stem){__VA_ARGS__})

static void expect_mark(const collected *asked, cafe_order_mark mark) {
  assert_ptr_equal(asked->type, &cafe_mark_order_type);
  assert_int_equal(((const cafe_mark_order *)asked->data)->mark, mark);
}

static void the_order_follows_the_ticket(void **unused) {
  expect_mark(REACT(policies_app_store, ticket_accepted, false), CAFE_MARK_ACCEPTED);
  expect_mark(REACT(policies_app_store, ticket_started, false), CAFE_MARK_STARTED);
  expect_mark(REACT(policies_app_store, ticket_ready, false), CAFE_MARK_DONE);
  expect_mark(REACT(policies_app_store, ticket_picked_up, false), CAFE_MARK_PICKED_UP);
  const cafe_reject_order *reject = REACT(policies_app_store, ticket_rejected, {"no beans", 8})->data;
  assert_int_equal(reject->by, CAFE_REJECT_REFUSED);
  assert_true(cafe_slice_equal(reject->reason, cafe_text("no beans")));
  reject = REACT(policies_app_store, ticket_failed, {"spilled", 7})->data;
  assert_int_equal(reject->by, CAFE_REJECT_GAVE_UP);
  assert_true(cafe_slice_equal(reject->reason, cafe_text("spilled")));
}

static void expect_cancel(const collected *asked, cafe_payment_cancel_reason reason) {
  assert_ptr_equal(asked->type, &cafe_cancel_payment_type);
  const cafe_cancel_payment *cancel = asked->data;
  assert_int_equal(cancel->reason, reason);
  assert_int_equal(cancel->amount_minor, 9000);
  assert_true(cafe_slice_equal(cancel->currency, cafe_text("KRW")));
  assert_true(cafe_slice_equal(cancel->customer_id, cafe_text("cdgri")));
}

#define WHOSE .amount_minor = 9000, .currency = {"KRW", 3}, .customer_id = {"cdgri", 5}

static void money_follows_the_order(void **unused) {
  const collected *asked = REACT(policies_pay_app, preparation_started, WHOSE);
  assert_ptr_equal(asked->type, &cafe_capture_payment_type);
  assert_int_equal(((const cafe_capture_payment *)asked->data)->amount_minor, 9000);
  expect_cancel(REACT(policies_pay_app, order_canceled, WHOSE), CAFE_PAYMENT_ORDER_CANCELED);
  expect_cancel(REACT(policies_pay_app, order_rejected, WHOSE), CAFE_PAYMENT_ORDER_REJECTED);
  expect_cancel(REACT(policies_pay_app, draft_dropped, WHOSE), CAFE_PAYMENT_DRAFT_DROPPED);
}

static void the_ticket_follows_the_order(void **unused) {
  const collected *asked = REACT(policies_store_app, ordered, LINES);
  assert_ptr_equal(asked->type, &cafe_receive_ticket_type);
  assert_true(cafe_slice_equal(((const cafe_receive_ticket *)asked->data)->product_id, cafe_text("latte")));
  asked = REACT(policies_store_app, cancel_requested, LINES, .by = CAFE_CANCEL_BY_DEADLINE);
  assert_ptr_equal(asked->type, &cafe_withdraw_ticket_type);
  assert_int_equal(((const cafe_withdraw_ticket *)asked->data)->by, CAFE_CANCEL_BY_DEADLINE);
  assert_true(cafe_slice_equal(((const cafe_withdraw_ticket *)asked->data)->product_id, cafe_text("latte")));
}

/* ---- the customer ---- */

static services_customer customer;

static void expect_told(const collected *asked, const char *event, const char *customer_id, const char *message) {
  assert_ptr_equal(asked->type, &cafe_notify_customer_type);
  const cafe_notify_customer *notify = asked->data;
  assert_true(cafe_slice_equal(notify->event, cafe_text(event)));
  assert_true(cafe_slice_equal(notify->customer_id, cafe_text(customer_id)));
  assert_true(cafe_slice_equal(notify->channels, cafe_text("console kakao")));
  assert_string_equal(notify->message.data, message);
}

static void the_customer_is_told_of_each_change_in_his_language(void **unused) {
  services_customer_init(&customer, "console kakao");
  const cafe_policy app = *customer.service.policies[0];
  const cafe_policy pay = *customer.service.policies[1];
  assert_null(customer.service.policies[2]);
  expect_told(REACT(app, ordered, LINES), "Ordered", "cdgri", "주문 1041번이 접수되었습니다.");
  expect_told(REACT(app, order_accepted, false), "OrderAccepted", "", "매장에서 주문 1041번을 확인했습니다.");
  expect_told(REACT(app, coffee_done, false), "CoffeeDone", "", "주문 1041번 커피가 준비되었습니다.");
  expect_told(REACT(app, order_picked_up, false), "OrderPickedUp", "", "주문 1041번을 받아 가셨습니다. 감사합니다.");
  expect_told(REACT(app, order_canceled, WHOSE), "OrderCanceled", "cdgri", "주문 1041번이 취소되었습니다.");
  expect_told(REACT(app, order_rejected, WHOSE), "OrderRejected", "cdgri",
              "매장 사정으로 주문 1041번을 준비하지 못했습니다.");
  expect_told(REACT(app, cancel_rejected, .by = CAFE_CANCEL_BY_CUSTOMER), "CancelRejected", "",
              "이미 제조가 시작되어 주문 1041번을 취소할 수 없습니다.");
  expect_told(REACT(pay, payment_canceled, .reason = CAFE_PAYMENT_ORDER_CANCELED, WHOSE), "PaymentCanceled", "cdgri",
              "주문 1041번의 결제가 취소되었습니다.");
  expect_told(REACT(pay, payment_refunded, WHOSE), "PaymentRefunded", "cdgri",
              "주문 1041번의 결제 금액이 환불되었습니다.");
}

static void the_customer_is_not_told_of_drafts_nor_of_the_deadlines_refusal(void **unused) {
  services_customer_init(&customer, "console");
  const cafe_policy app = *customer.service.policies[0];
  const cafe_policy pay = *customer.service.policies[1];
  assert_null(REACT(app, cancel_rejected, .by = CAFE_CANCEL_BY_DEADLINE));
  assert_null(REACT(pay, payment_canceled, .reason = CAFE_PAYMENT_DRAFT_DROPPED, WHOSE));
  for (const cafe_schema *const *event = app.events; *event; event++) {
    assert_ptr_not_equal(*event, &cafe_preparation_started_type);
    assert_ptr_not_equal(*event, &cafe_draft_dropped_type);
  }
}

static void the_largest_order_number_fits_into_every_message(void **unused) {
  services_customer_init(&customer, "console");
  for (size_t i = 0; i < 2; i++) {
    const cafe_policy *policy = customer.service.policies[i];
    for (const cafe_schema *const *type = policy->events; *type; type++) {
      static const char data[512]; /* all zero: of any type */
      cafe_reaction reaction = {.commands = {.arena = arena}};
      cafe_event event = {.type = *type, .key = CAFE_KEY_MAX, .data = data};
      policy->react(&reaction, &event, policy->user);
      if (reaction.commands.first) {
        const cafe_notify_customer *notify = reaction.commands.first->data;
        assert_non_null(strstr(notify->message.data, "9007199254740991"));
        assert_int_equal(notify->message.data[notify->message.size - 1], '.');
      }
    }
  }
}

/* ---- the services ---- */

static bool emits(const cafe_aggregate *aggregate, const cafe_schema *type) {
  const cafe_schema *const *event = aggregate->events;
  while (*event && *event != type) {
    event++;
  }
  return *event != NULL;
}

/* Where a service says that it hears of an event; NULL: nowhere. */
static const char *source_of(const cafe_service *service, const cafe_schema *type) {
  for (size_t i = 0; service->aggregates && service->aggregates[i]; i++) {
    if (emits(service->aggregates[i], type)) {
      return service->name;
    }
  }
  for (size_t i = 0; service->remotes && service->remotes[i]; i++) {
    if (emits(service->remotes[i], type)) {
      return service->remote_services[i];
    }
  }
  return NULL;
}

static void every_service_names_where_it_hears_of_what_it_reads(void **unused) {
  services_customer_init(&customer, "console");
  const cafe_service *const all[] = {services_app(), services_pay(), services_store(), &customer.service,
                                     view_dashboard_service()};
  for (size_t i = 0; i < 5; i++) {
    for (size_t j = 0; all[i]->policies && all[i]->policies[j]; j++) {
      const cafe_policy *policy = all[i]->policies[j];
      for (const cafe_schema *const *event = policy->events; *event; event++) {
        assert_string_equal(source_of(all[i], *event), policy->source);
      }
    }
    for (size_t j = 0; all[i]->views[j]; j++) {
      const cafe_view *view = all[i]->views[j];
      for (const cafe_schema *const *event = view->events; *event; event++) {
        const char *source = source_of(all[i], *event);
        const char *const *named = view->sources;
        while (*named && strcmp(*named, source) != 0) {
          named++;
        }
        assert_non_null(*named);
      }
    }
  }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(the_order_follows_the_ticket),
      TEST(money_follows_the_order),
      TEST(the_ticket_follows_the_order),
      TEST(the_customer_is_told_of_each_change_in_his_language),
      TEST(the_customer_is_not_told_of_drafts_nor_of_the_deadlines_refusal),
      TEST(the_largest_order_number_fits_into_every_message),
      cmocka_unit_test(every_service_names_where_it_hears_of_what_it_reads),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
