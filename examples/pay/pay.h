/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PAY_PAY_H
#define PAY_PAY_H

#include "http/http.h"

typedef struct pay_config {
  cafe_gateway *sandbox;
} pay_config;

extern const http_service pay_service;

#endif
