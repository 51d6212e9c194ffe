/* SPDX-License-Identifier: Apache-2.0 */
#ifndef VIEW_DASHBOARD_H
#define VIEW_DASHBOARD_H

#include "cafe/node.h"

/* The dashboard's service: the read model over app, pay and store, and nothing else. */
const cafe_service *view_dashboard_service(void);

#endif
