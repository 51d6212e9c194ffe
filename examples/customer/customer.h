/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CUSTOMER_CUSTOMER_H
#define CUSTOMER_CUSTOMER_H

#include "server/server.h"

extern const server_part customer_part;

#endif
