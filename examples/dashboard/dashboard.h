/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DASHBOARD_DASHBOARD_H
#define DASHBOARD_DASHBOARD_H

#include "server/server.h"

extern const server_part dashboard_part;

#endif
