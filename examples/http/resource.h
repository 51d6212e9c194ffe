/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HTTP_RESOURCE_H
#define HTTP_RESOURCE_H

#include "http/http.h"

/*
 * A view shown as a HAL resource. A route whose handler is resource_get or resource_list has one as its argument, and
 * needs no other code.
 */
typedef struct resource {
  const cafe_view *view;
  const char *path;           /* "/orders" */
  const char *const *ids;     /* the members that show the row's key, ended by NULL; the first one is the id */
  const char *const *hidden;  /* columns that aren't shown, ended by NULL; or NULL */
  const char *const *filters; /* columns that a list is filtered by, ended by NULL; the key is one always */
  const char *key_filter;     /* the argument that filters by the row's key: "orderId" */
  const char *aggregate;      /* resource_as_of: the stream whose events the row folds; or NULL */
  const char *sub_id;         /* the id's name where a key has several rows: "17-3"; or NULL */
  cafe_filter only;           /* what a list shows of the rows; column NULL: all */
  /* OPTIONAL. Members that no column holds. */
  void (*more)(buffer *out, const cafe_row *row, const cafe_page *page);
} resource;

/* GET of one row, GET of a page of them. */
void resource_get(http_request *request);
void resource_list(http_request *request);

/* Reads the row that the path names; none is found where there is none. */
void resource_find(http_request *request, const resource *self, cafe_page_cb done);

/* Answers with the row of `id` as it was at the stream's version, and with Cafe-Position: what a command did is shown
 * even where more has happened since. */
void resource_as_of(http_request *request, const resource *self, unsigned status, uint64_t version);

/* The same with a body that was kept from the first answer: so that a repeat's position is the first one's too, which
 * the kept bytes can't hold, since they are made before they are written. Takes the verdict's body. */
void resource_kept(http_request *request, const resource *self, http_verdict *verdict);

/* Answers with the row as it is now, with the status that `judge` gives it; 503 where that is 0: what was asked for isn't
 * written yet. */
void resource_as_is(http_request *request, const resource *self, unsigned (*judge)(const void *row));

/* Writes a row as an object. page: what it was read with, or NULL if it wasn't. */
void resource_write(buffer *out, const resource *self, const cafe_row *row, const cafe_page *page);

#endif
