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
#include "given_kit.h"
#include "view/dashboard.h"

#define LINES                                                                                                          \
  .product_id = {"latte", 5}, .qty = 2, .customer_id = {"cdgri", 5}, .amount_minor = 9000, .currency = {"KRW", 3},     \
  .store_id = {"1", 1}

static cafe_given *it;

static int end(void **unused) {
  cafe_given_destroy(it);
  it = NULL;
  return 0;
}

/* What the policy asks for is looked at by ASKS. */
static void react(const cafe_policy *policy, uint64_t key, const cafe_schema *type, const void *data, size_t size) {
  cafe_given_destroy(it);
  assert_int_equal(cafe_given_policy(&it, policy, NULL, NULL), CAFE_OK);
  cafe_given_stream(it, "any", key);
  cafe_given_event(it, type, data, size);
  given_is_well(it);
}

static void asks(const cafe_fact *commands) {
  cafe_then_asks(it, commands);
  given_is_well(it);
}

#define REACT(policy, stem, ...) react(&(policy), 1041, CAFE_DATA(cafe_##stem##_type, cafe_##stem, __VA_ARGS__))
#define ASKS(stem, ...)          asks(CAFE_FACTS(CAFE_FACT(cafe_##stem##_type, cafe_##stem, __VA_ARGS__)))

static void the_order_follows_the_ticket(void **unused) {
  REACT(policies_app_store, ticket_accepted, false);
  ASKS(mark_order, CAFE_MARK_ACCEPTED);
  REACT(policies_app_store, ticket_started, false);
  ASKS(mark_order, CAFE_MARK_STARTED);
  REACT(policies_app_store, ticket_ready, false);
  ASKS(mark_order, CAFE_MARK_DONE);
  REACT(policies_app_store, ticket_picked_up, false);
  ASKS(mark_order, CAFE_MARK_PICKED_UP);
  REACT(policies_app_store, ticket_rejected, {"no beans", 8});
  ASKS(reject_order, CAFE_REJECT_REFUSED, {"no beans", 8});
  REACT(policies_app_store, ticket_failed, {"spilled", 7});
  ASKS(reject_order, CAFE_REJECT_GAVE_UP, {"spilled", 7});
}

#define WHOSE .amount_minor = 9000, .currency = {"KRW", 3}, .customer_id = {"cdgri", 5}

static void money_follows_the_order(void **unused) {
  REACT(policies_pay_app, preparation_started, WHOSE);
  ASKS(capture_payment, 9000);
  REACT(policies_pay_app, order_canceled, WHOSE);
  ASKS(cancel_payment, CAFE_PAYMENT_ORDER_CANCELED, WHOSE);
  REACT(policies_pay_app, order_rejected, WHOSE);
  ASKS(cancel_payment, CAFE_PAYMENT_ORDER_REJECTED, WHOSE);
  REACT(policies_pay_app, draft_dropped, WHOSE);
  ASKS(cancel_payment, CAFE_PAYMENT_DRAFT_DROPPED, WHOSE);
}

static void the_ticket_follows_the_order(void **unused) {
  REACT(policies_store_app, ordered, LINES);
  ASKS(receive_ticket, LINES);
  REACT(policies_store_app, cancel_requested, LINES, .by = CAFE_CANCEL_BY_DEADLINE);
  ASKS(withdraw_ticket, LINES, .by = CAFE_CANCEL_BY_DEADLINE);
}

/* ---- the customer ---- */

static services_customer customer;

#define TELLS(event_, customer_, message_)                                                                             \
  ASKS(notify_customer, .event = cafe_text(event_), .customer_id = cafe_text(customer_),                               \
       .channels = cafe_text("console kakao"), .message = cafe_text(message_))

static void the_customer_is_told_of_each_change_in_his_language(void **unused) {
  services_customer_init(&customer, "console kakao");
  const cafe_policy *app = customer.service.policies[0], *pay = customer.service.policies[1];
  assert_null(customer.service.policies[2]);
  REACT(*app, ordered, LINES);
  TELLS("Ordered", "cdgri", "주문 1041번이 접수되었습니다.");
  REACT(*app, order_accepted, false);
  TELLS("OrderAccepted", "", "매장에서 주문 1041번을 확인했습니다.");
  REACT(*app, coffee_done, false);
  TELLS("CoffeeDone", "", "주문 1041번 커피가 준비되었습니다.");
  REACT(*app, order_picked_up, false);
  TELLS("OrderPickedUp", "", "주문 1041번을 받아 가셨습니다. 감사합니다.");
  REACT(*app, order_canceled, WHOSE);
  TELLS("OrderCanceled", "cdgri", "주문 1041번이 취소되었습니다.");
  REACT(*app, order_rejected, WHOSE);
  TELLS("OrderRejected", "cdgri", "매장 사정으로 주문 1041번을 준비하지 못했습니다.");
  REACT(*app, cancel_rejected, .by = CAFE_CANCEL_BY_CUSTOMER);
  TELLS("CancelRejected", "", "이미 제조가 시작되어 주문 1041번을 취소할 수 없습니다.");
  REACT(*pay, payment_canceled, .reason = CAFE_PAYMENT_ORDER_CANCELED, WHOSE);
  TELLS("PaymentCanceled", "cdgri", "주문 1041번의 결제가 취소되었습니다.");
  REACT(*pay, payment_refunded, WHOSE);
  TELLS("PaymentRefunded", "cdgri", "주문 1041번의 결제 금액이 환불되었습니다.");
}

static void the_customer_is_not_told_of_drafts_nor_of_the_deadlines_refusal(void **unused) {
  services_customer_init(&customer, "console");
  const cafe_policy *app = customer.service.policies[0], *pay = customer.service.policies[1];
  REACT(*app, cancel_rejected, .by = CAFE_CANCEL_BY_DEADLINE);
  asks(NULL);
  REACT(*pay, payment_canceled, .reason = CAFE_PAYMENT_DRAFT_DROPPED, WHOSE);
  asks(NULL);
  for (const cafe_schema *const *event = app->events; *event; event++) {
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
      react(policy, CAFE_KEY_MAX, *type, data, (*type)->width);
      const cafe_notify_customer *notify = cafe_given_data(it, &cafe_notify_customer_type);
      if (notify) {
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

#define TEST(name) cmocka_unit_test_teardown(name, end)

/* ---- the guard before payment ---- */

/* N2b: what counts against payment, and what is an answer. */
static void a_no_of_the_bank_is_an_answer_and_silence_is_not(void **state) {
  (void)state;
  const cafe_guard guard = services_payment_guard();
  const struct {
    const cafe_schema *type;
    cafe_drop_reason reason;
    bool is_failure, is_overload;
  } cases[] = {{&cafe_ordered_type, 0, false},
               {&cafe_draft_unclaimed_type, 0, true},
               {&cafe_draft_dropped_type, CAFE_DROP_DECLINED, false},
               {&cafe_draft_dropped_type, CAFE_DROP_UNAVAILABLE, true, true},
               {&cafe_draft_dropped_type, CAFE_DROP_EXPIRED, false},
               {&cafe_draft_dropped_type, CAFE_DROP_UNKNOWN, true},
               {&cafe_draft_dropped_type, CAFE_DROP_ABANDONED, false}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    cafe_draft_dropped dropped = {.reason = cases[i].reason};
    cafe_event event = {.type = cases[i].type, .data = &dropped};
    assert_int_equal(guard.is_failure(&event, guard.user), cases[i].is_failure);
    assert_int_equal(guard.is_overload(&event, guard.user), cases[i].is_overload);
  }
  assert_ptr_equal(guard.command, &cafe_place_order_type);
  assert_ptr_equal(guard.begins[0], &cafe_order_drafted_type);
  assert_null(guard.begins[1]);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(the_order_follows_the_ticket),
      TEST(money_follows_the_order),
      TEST(the_ticket_follows_the_order),
      TEST(the_customer_is_told_of_each_change_in_his_language),
      TEST(the_customer_is_not_told_of_drafts_nor_of_the_deadlines_refusal),
      TEST(the_largest_order_number_fits_into_every_message),
      cmocka_unit_test(every_service_names_where_it_hears_of_what_it_reads),
      cmocka_unit_test(a_no_of_the_bank_is_an_answer_and_silence_is_not),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
