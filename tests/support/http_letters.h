/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HTTP_LETTERS_H
#define HTTP_LETTERS_H

#include "channel/channel.h"
#include "failing_alloc.h"
#include "http_peer.h"
#include "still_loop.h"

/* Deliveries of the test's own, for channels over HTTP, with the loop and the peer that they need. */

typedef struct letter {
  channel_delivery base;
  int answers;
  int code;
  cafe_err err;
  int holds, begins;
  void (*then)(struct letter *self); /* inside the answer */
  void *user;
} letter;

typedef struct post_office {
  still_loop *still;
  cafe_loop *loop;
  http_peer peer;
  failing_alloc memory;
  cafe_channel *channel;
} post_office;

post_office *post_office_open(void);
/* Destroys the channel, if there is one: nothing of it may be left. */
void post_office_close(post_office *self);

void letter_init(letter *self, const char *id, const char *message);
/* Hands it to the channel, which takes it. */
void letter_send(letter *self, post_office *office);
/* Waits for its answer, and returns the code. */
int letter_wait(letter *self, post_office *office);

#endif
