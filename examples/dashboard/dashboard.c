/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The read model over HTTP. It follows the services' logs, so it may be behind; whoever has just written and wants to
 * read that hands in the position that the write was answered with.
 */
#include "dashboard/dashboard.h"
#include "http/changes.h"
#include "http/resource.h"

enum { AWAIT_MS = 2000 };

static void write_position(buffer *out, const cafe_row *row, const cafe_page *page);

static const resource order_infos = {
    .view = &cafe_order_infos_view,
    .path = "/orderInfos",
    .ids = (const char *const[]){"orderId", NULL},
    .hidden = (const char *const[]){"order_time_ms", "order_n", "payment_time_ms", "payment_n", "fulfillment_time_ms",
                                    "fulfillment_n", "is_visible", NULL},
    .filters = (const char *const[]){"customer_id", "store_id", "status", NULL},
    .key_filter = "orderId",
    .more = write_position,
};

enum { SOURCES = 3 }; /* of the view, in this order: app, pay, store */

static bool is_of_one_log(const cafe_page *page) {
  for (uint32_t i = 1; i < page->position_count; i++) {
    if (page->positions[i].log_id != page->positions[0].log_id) {
      return false;
    }
  }
  return page->position_count > 0;
}

/* Of the last event, where each source has a log of its own. */
static cafe_position last_of_logs(const cafe_order_info_row *info, const cafe_position *logs) {
  cafe_position last = {logs[0].log_id, logs[0].shard, info->order_n};
  int64_t time_ms = info->order_time_ms;
  if (info->payment_time_ms >= time_ms) {
    last = (cafe_position){logs[1].log_id, logs[1].shard, info->payment_n};
    time_ms = info->payment_time_ms;
  }
  if (info->fulfillment_time_ms >= time_ms) {
    last = (cafe_position){logs[2].log_id, logs[2].shard, info->fulfillment_n};
  }
  return last;
}

/* The same, where all have one log. All of an order's are in one shard of it. */
static cafe_position last_of_log(const cafe_order_info_row *info, const cafe_row *row, const cafe_page *page) {
  cafe_position last = page->positions[cafe_partition(row->key) % page->position_count];
  last.n = info->order_n;
  last.n = info->payment_n > last.n ? info->payment_n : last.n;
  last.n = info->fulfillment_n > last.n ? info->fulfillment_n : last.n;
  return last;
}

/* Of the row's last event; null until all logs are known. */
static void write_position(buffer *out, const cafe_row *row, const cafe_page *page) {
  const cafe_order_info_row *info = row->data;
  bool is_one = is_of_one_log(page);
  char token[CAFE_POSITION_TEXT_MAX];
  if (is_one || page->position_count == SOURCES) {
    cafe_position last = is_one ? last_of_log(info, row, page) : last_of_logs(info, page->positions);
    cafe_position_format(token, &last);
  }
  json_string(out, "position", is_one || page->position_count == SOURCES ? token : NULL);
}

static void (*read_of(const http_request *request))(http_request *) {
  return request->id ? resource_get : resource_list;
}

static void on_reached(const cafe_err *err, void *user) {
  http_request *request = user;
  if (!err) {
    read_of(request)(request);
  } else if (err->code == CAFE_TIMEOUT) {
    http_problem(request, HTTP_VIEW_BEHIND, "The view doesn't hold that write yet");
  } else if (err->code == CAFE_INVALID) {
    http_wrong_field(request, "after-position", err->text);
  } else {
    http_failure(request, err);
  }
}

static void read_after(http_request *request) {
  cafe_slice token = http_query(request, "after-position");
  cafe_position position;
  cafe_err err = {0};
  if (token.size == 0) {
    read_of(request)(request);
  } else if (cafe_position_parse(&position, token, &err) != CAFE_OK ||
             cafe_node_await(NULL, request->node, &cafe_order_infos_view, &position, AWAIT_MS, on_reached, request,
                             &err) != CAFE_OK) {
    on_reached(&err, request);
  }
}

static const http_route routes[] = {
    {"GET", "/orderInfos", read_after, &order_infos},
    {"GET", "/orderInfos/{id}", read_after, &order_infos},
    {"GET", "/orderInfos/stream", changes_stream, &order_infos},
    {NULL, NULL, NULL, NULL},
};

static const http_service service = {"dashboard", routes, &cafe_order_infos_view};

static const server_need needs[] = {
    {"app", "its orders are shown"},
    {"pay", "its payments are shown"},
    {"store", "its tickets are shown"},
    {NULL, NULL},
};

const server_part dashboard_part = {.service = &service, .hosted = CAFE_SHOP_DASHBOARD, .needs = needs};
