/* SPDX-License-Identifier: Apache-2.0 */
#ifndef APP_APP_H
#define APP_APP_H

#include "http/http.h"

typedef struct app_config {
  const char *currency;        /* where an order names none */
  int64_t payment_deadline_ms; /* from a request to its answer */
  int64_t accept_deadline_ms;
} app_config;

extern const http_service app_service;

#endif
