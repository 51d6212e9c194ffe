/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DASHBOARD_DASHBOARD_H
#define DASHBOARD_DASHBOARD_H

#include "http/http.h"

extern const http_service dashboard_service;

#endif
