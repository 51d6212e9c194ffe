/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CUSTOMER_CUSTOMER_H
#define CUSTOMER_CUSTOMER_H

#include "http/http.h"

extern const http_service customer_service;

#endif
