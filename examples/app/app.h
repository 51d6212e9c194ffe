/* SPDX-License-Identifier: Apache-2.0 */
#ifndef APP_APP_H
#define APP_APP_H

#include "server/server.h"

extern const server_part app_part;

#endif
