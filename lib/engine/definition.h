/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ENGINE_DEFINITION_H
#define ENGINE_DEFINITION_H

#include "cafe/node.h"

/* What is wrong with a definition by itself. CAFE_INVALID says what, where, and what to do; CAFE_UNSUPPORTED, what only
 * a newer library knows. */
int definition_check_service(const cafe_service *service, cafe_err *err);
int definition_check_aggregate(const cafe_aggregate *aggregate, cafe_err *err);
int definition_check_saga(const cafe_saga *saga, cafe_err *err);
int definition_check_policy(const cafe_policy *policy, cafe_err *err);
int definition_check_view(const cafe_view *view, cafe_err *err);
int definition_check_worker(const cafe_worker *worker, cafe_err *err);

/* What is wrong with them together: all that a node hosts, at its start. CAFE_INVALID. */
int definition_check_all(const cafe_node *node, cafe_err *err);

#endif
