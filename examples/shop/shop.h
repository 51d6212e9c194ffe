/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHOP_SHOP_H
#define SHOP_SHOP_H

#include "server/server.h"

/* The whole program: all five services of the coffee shop in one process, and beside them those that a newcomer brings
 * (ended by NULL; or NULL). Returns the exit status. */
int shop_main(int argc, char **argv, const cafe_service *const *guests);

#endif
