/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HTTP_METRICS_H
#define HTTP_METRICS_H

#include "http/http.h"

/* What a server counts of its requests, and what it knows of its view's rows. */
typedef struct http_metrics http_metrics;

/* OWN: http_metrics_close. NULL: no memory. */
http_metrics *http_metrics_open(void);
void http_metrics_close(http_metrics *self);

/* A request that began at begun_ns (uv_hrtime) is answered. route NULL: none was found. Without memory for another kind
 * of request it isn't counted. */
void http_metrics_count(http_metrics *self, const char *method, const http_route *route, unsigned status,
                        uint64_t begun_ns);

/* GET /metrics: Prometheus' text format 0.0.4. */
void http_metrics_get(http_request *request);

#endif
