/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SPOILS_H
#define SPOILS_H

#include "cafe/sys/transport.h"

/*
 * A transport over another one, by which some records come with bytes that nobody can read, as from a newer publisher:
 * each time that they come, to the subscription that they are spoilt for.
 */

/* inner: BORROW. */
cafe_transport *spoils_create(cafe_transport *inner, uint64_t seed);
/* From now on: about one record in so many, for each subscription. 0: none. */
void spoils_set(cafe_transport *transport, uint64_t one_in);

#endif
