/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A budget is handed on as what is left of it, so it shrinks with every hop: nobody works for a caller who is gone, and
 * retries at several hops don't multiply (Google, "Site Reliability Engineering", chapter 22).
 */
#include "cafe/resilience.h"

cafe_budget cafe_budget_from(int64_t now_us, int64_t timeout_ms, uint32_t retries) {
  cafe_budget budget = {INT64_MAX, retries, 0};
  if (timeout_ms > 0 && timeout_ms <= (INT64_MAX - now_us) / 1000)
    budget.deadline_us = now_us + timeout_ms * 1000;
  return budget;
}

int64_t cafe_budget_left_us(const cafe_budget *budget, int64_t now_us) {
  if (budget->deadline_us == INT64_MAX)
    return INT64_MAX;
  return budget->deadline_us > now_us ? budget->deadline_us - now_us : 0;
}

bool cafe_budget_take_retry(cafe_budget *budget, int64_t now_us) {
  if (budget->retries == 0 || cafe_budget_left_us(budget, now_us) == 0)
    return false;
  if (budget->retries != UINT32_MAX)
    budget->retries--;
  return true;
}

cafe_budget cafe_budget_min(cafe_budget own, cafe_budget callers) {
  cafe_budget least = own;
  if (callers.deadline_us < least.deadline_us)
    least.deadline_us = callers.deadline_us;
  if (callers.retries < least.retries)
    least.retries = callers.retries;
  return least;
}
