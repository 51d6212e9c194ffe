/* SPDX-License-Identifier: Apache-2.0 */
#ifndef UPKEEP_UPKEEP_H
#define UPKEEP_UPKEEP_H

#include "http/http.h"

typedef struct upkeep_config {
  const char *store_file; /* NULL: the store is in memory */
} upkeep_config;

extern const http_service upkeep_service;

#endif
