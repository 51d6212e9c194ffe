/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STILL_LOOP_H
#define STILL_LOOP_H

#include "cafe/sys/loop.h"

/*
 * A loop on libuv whose clock stands still, but for still_loop_advance: sockets are real, and what is due is due by the
 * test's word only. And one of its calls can fail.
 */
typedef struct still_loop still_loop;

still_loop *still_loop_create(void);
void still_loop_destroy(still_loop *self);
cafe_loop *still_loop_base(still_loop *self);

void still_loop_advance(still_loop *self, int64_t us);
/* Fails call n, from 1, to timer_start or watch_start, and each after it if it goes on; 0: none. Counts anew. */
void still_loop_fail(still_loop *self, uint64_t timer_call, uint64_t watch_call, bool goes_on);
uint64_t still_loop_failed(const still_loop *self);
/* Watches and timers that are active. */
int still_loop_active(const still_loop *self);

/* Turns once, waiting for a socket for a moment. */
void still_loop_turn(still_loop *self);
/* Turns until nothing has been due for a while: what the sockets have, and what is due now, is done. */
void still_loop_settle(still_loop *self);

#endif
