/* SPDX-License-Identifier: Apache-2.0 */

/* Found by going through what the services host, so that a new type can't be forgotten. */
#include "known_schemas.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "domain/services.h"
#include "engine/node.h"
#include "saga/coordinator.h"
#include "transport/tcp_frame.h"
#include "view/dashboard.h"

static char titles[KNOWN_SCHEMAS_MAX][96];
static uint32_t count;

static void add(known_schema *out, const cafe_schema *schema, const char *kind, const char *owner) {
  assert_true(count + 1 < KNOWN_SCHEMAS_MAX);
  snprintf(titles[count], sizeof titles[count], "%s %s of %s", kind, schema->name, owner);
  out[count] = (known_schema){titles[count], schema};
  out[++count] = (known_schema){NULL, NULL};
}

static void add_service(known_schema *out, const cafe_service *service) {
  for (const cafe_aggregate *const *type = service->aggregates; type && *type; type++) {
    for (const cafe_schema *const *event = (*type)->events; *event; event++)
      add(out, *event, "event", (*type)->name);
    for (const cafe_command_type *command = (*type)->commands; command->command; command++)
      add(out, command->command, "command", (*type)->name);
  }
  for (const cafe_saga *const *saga = service->sagas; saga && *saga; saga++)
    add(out, (*saga)->data, "memory", (*saga)->name);
  for (const cafe_view *const *view = service->views; view && *view; view++)
    add(out, (*view)->row, "row", (*view)->name);
}

void known_schemas(known_schema out[KNOWN_SCHEMAS_MAX]) {
  services_customer customer;
  services_customer_init(&customer, "");
  const cafe_service *const services[] = {services_app(), services_pay(), services_store(), &customer.service,
                                          view_dashboard_service()};
  count = 0;
  for (size_t i = 0; i < sizeof services / sizeof services[0]; i++)
    add_service(out, services[i]);
  for (int i = 0; i < OWN_TABLES; i++)
    add(out, engine_tables[i].row, "row", engine_tables[i].name);
  add(out, &saga_state_type, "record", "sagas.state");
  add(out, &saga_mark_type, "record", "sagas.state");
  add(out, &saga_step_type, "record", "sagas.state");
  add(out, &wire_request_type, "message", "requests");
  add(out, &wire_answer_type, "message", "requests");
  for (int64_t kind = FRAME_HELLO; frame_type(kind); kind++)
    add(out, frame_type(kind), "frame", "tcp");
  add(out, &frame_event_type, "record", "tcp's batch");
}
