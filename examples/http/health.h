/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HTTP_HEALTH_H
#define HTTP_HEALTH_H

#include "http/http.h"

/* GET /livez: the loop turns. GET /readyz: the service's own store can be used, and it isn't draining. GET /metrics. */
extern const http_route health_routes[];

#endif
