/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KNOWN_SCHEMAS_H
#define KNOWN_SCHEMAS_H

#include "cafe/schema.h"

/*
 * Every field table whose bytes or columns outlive the program that wrote them, or leave it: events, commands, rows of
 * views and of the engine, what sagas remember, what goes between nodes. Not here: states and tasks, which are made
 * anew from the events each time.
 */
typedef struct known_schema {
  const char *title; /* what it is, and the schema's name: "event Ordered of order" */
  const cafe_schema *schema;
} known_schema;

enum { KNOWN_SCHEMAS_MAX = 128 };

/* Fills the list, ended by a NULL title. Titles stay valid until the next call. */
void known_schemas(known_schema out[KNOWN_SCHEMAS_MAX]);

#endif
