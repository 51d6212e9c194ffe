/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A program may have been built with older or newer headers than the library that it runs with. What is kept here:
 * nothing is read beyond what the program has, and nothing that it asks for is left out unseen.
 */
#include "base/sized.h"

#include <stdint.h>
#include <string.h>

#include "cafe/cafe.h"
#include "cafe/sys/loop.h"

/* A program has these in arrays, in structs of its own, or as copies of the library's own objects (a copy relocation),
 * and steps over them by the size that it was built with: they never change. tests/abi/layouts.txt has all structs. */
#define FROZEN(type, size) _Static_assert(sizeof(void *) != 8 || sizeof(type) == (size), #type " is frozen")

FROZEN(cafe_schema, 88);
FROZEN(cafe_aggregate, 152);
FROZEN(cafe_saga, 160);
FROZEN(cafe_view, 168);
FROZEN(cafe_field, 64);
FROZEN(cafe_command_outcome, 32);
FROZEN(cafe_command_type, 40);
FROZEN(cafe_retry, 48);
FROZEN(cafe_saga_timeout, 40);
FROZEN(cafe_saga_turn, 32);
FROZEN(cafe_saga_step, 192);
FROZEN(cafe_saga_interrupt, 104);
FROZEN(cafe_event, 104);
FROZEN(cafe_filter, 48);
FROZEN(cafe_client_key, 64);
FROZEN(cafe_slice, 16);
FROZEN(cafe_position, 24);
FROZEN(cafe_value, 32);
FROZEN(cafe_allocator, 16);
FROZEN(cafe_log, 24);
FROZEN(cafe_err, 256);
FROZEN(cafe_timer, 48);
FROZEN(cafe_job, 56);
FROZEN(cafe_watch, 56);
FROZEN(cafe_wake, 48);
FROZEN(cafe_budget, 16);
FROZEN(cafe_permit, 8);
FROZEN(cafe_breaker, 208);
FROZEN(cafe_limit, 56);

/* Of what is given: its size, if it may be read. */
static int check(size_t *size, size_t own_size, size_t min_size, const void *given, const char *what, const char *by,
                 cafe_err *err) {
  if (!given) {
    return cafe_fail(err, CAFE_INVALID, "%s is NULL, and needed", what);
  }
  memcpy(size, given, sizeof(*size));
  if (*size < min_size) {
    return cafe_fail(err, CAFE_INVALID, "%s has the size %zu, and needs %zu: set it by %s", what, *size, own_size, by);
  }
  if (*size > own_size && !is_zero((const char *)given + own_size, *size - own_size)) {
    return cafe_fail(err, CAFE_UNSUPPORTED, "%s has %zu bytes, of which this library knows %zu: use a newer one", what,
                     *size, own_size);
  }
  return CAFE_OK;
}

int sized_read(void *own, size_t own_size, size_t min_size, const void *given, const char *what, const char *by,
               cafe_err *err) {
  size_t size = 0;
  memset(own, 0, own_size);
  int code = check(&size, own_size, min_size, given, what, by, err);
  if (code) {
    return code;
  }
  memcpy(own, given, size < own_size ? size : own_size);
  memcpy(own, &own_size, sizeof(own_size));
  return CAFE_OK;
}

int sized_check(const void *given, size_t size, const char *what, const char *by, cafe_err *err) {
  size_t unused;
  return check(&unused, size, size, given, what, by, err);
}

bool is_zero(const void *bytes, size_t size) {
  const unsigned char *at = bytes;
  for (size_t i = 0; i < size; i++) {
    if (at[i]) {
      return false;
    }
  }
  return true;
}
