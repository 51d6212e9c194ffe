/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PAY_PAY_H
#define PAY_PAY_H

#include "server/server.h"

extern const server_part pay_part;

#endif
