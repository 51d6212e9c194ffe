/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HTTP_CHANGES_H
#define HTTP_CHANGES_H

#include "http/http.h"

/* GET of a view's changes as server-sent events: a handler, with a resource as its route's argument. */
void changes_stream(http_request *request);

/* A place in the logs that a view is made from, shard by shard, as one token. */
enum { PLACE_SHARDS_MAX = 16 };
typedef struct place {
  cafe_position positions[PLACE_SHARDS_MAX];
  uint32_t count;
} place;

void place_write(buffer *out, const place *at);
/* False: it is no such token. */
bool place_read(place *out, cafe_slice token);

#endif
