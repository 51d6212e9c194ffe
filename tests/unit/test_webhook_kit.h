/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEST_WEBHOOK_KIT_H
#define TEST_WEBHOOK_KIT_H

#include "cafe/channel/webhook.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "http_letters.h"

/* A webhook over real sockets, its receiver played by the test. Time stands still but where a test moves it. */

static const char token[] = "s3cr3t-T0ken_0123456789";
static const char token_path[] = "token.txt";

static cafe_webhook_options options;

static inline int setup(void **state) {
  (void)unlink(token_path);
  options = (cafe_webhook_options)CAFE_WEBHOOK_OPTIONS_INIT;
  *state = post_office_open();
  return 0;
}

static inline int teardown(void **state) {
  post_office_close(*state);
  (void)unlink(token_path);
  return 0;
}

static inline void write_file(const char *path, const char *text) {
  FILE *file = fopen(path, "w");
  assert_non_null(file);
  assert_true(fputs(text, file) >= 0);
  assert_int_equal(fclose(file), 0);
}

/* A webhook to the peer, by `options`. */
static inline void open_hook(post_office *office) {
  cafe_err err = {0};
  options.url = options.url ? options.url : http_peer_url(&office->peer, "/hook?shop=1");
  int code = cafe_webhook_create(&office->channel, office->loop, &options, &office->memory.allocator, &err);
  if (code != CAFE_OK) {
    fail_msg("%s", err.text);
  }
}

#endif
