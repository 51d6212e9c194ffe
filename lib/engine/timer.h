/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ENGINE_TIMER_H
#define ENGINE_TIMER_H

#include "engine/node.h"

/* The key is looked at again soon, after something of it failed. */
void timer_retry(struct subject *subject);
/* Whether what is due may begin: on a draining node only for those who wait. */
bool timer_is_for(const struct subject *subject);
/* The key is looked at by then, or earlier. 0: nothing. */
void timer_arm_at(struct subject *subject, int64_t due_ms);
void timer_turn(cafe_node *node, int64_t now_us);
void timer_committed(struct subject *subject, const struct unit *unit);
/* The key was read: what a restart left is taken up. */
void timer_loaded(struct subject *subject);
/* The key leaves memory. */
void timer_remember(struct subject *subject);

int timer_create(cafe_node *node);
void timer_destroy(cafe_node *node);
/* UTC; INT64_MAX: nothing is due. */
int64_t timer_next_ms(const cafe_node *node);

#endif
