/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What a customer is told of one order. It keeps that a transition is queued once for each channel, however often it is
 * asked for, and that a channel gets them in their order: only the first that isn't sent yet is wanted from a worker.
 * One that failed for good is out of the way, so that it doesn't silence the rest.
 */
#include "cafe/notification.h"

#include <utlist.h>

#include "domain/rules.h"

/* ---- field tables: as in order_schema.c, fields are only ever added at the end ---- */

static const char *const status_names[] = {"", "Queued", "Sent", "Failed"};

static const cafe_field notify_customer_fields[] = {
    CAFE_FIELD_OF(1, TEXT, cafe_notify_customer, event),
    CAFE_FIELD_OF(2, TEXT, cafe_notify_customer, customer_id),
    CAFE_FIELD_OF(3, TEXT, cafe_notify_customer, channels),
    CAFE_FIELD_OF(4, TEXT, cafe_notify_customer, message),
};
RULES_SCHEMA(notify_customer, "NotifyCustomer");

static const cafe_field record_delivery_fields[] = {
    CAFE_FIELD_OF(1, I64, cafe_record_delivery, number),
    CAFE_FIELD_ENUM_OF(2, cafe_record_delivery, status, status_names),
    CAFE_FIELD_OF(3, I64, cafe_record_delivery, attempts),
    CAFE_FIELD_OF(4, TEXT, cafe_record_delivery, text),
};
RULES_SCHEMA(record_delivery, "RecordDelivery");

static const cafe_field notification_queued_fields[] = {
    CAFE_FIELD_OF(1, I64, cafe_notification_queued, number),
    CAFE_FIELD_OF(2, TEXT, cafe_notification_queued, event),
    CAFE_FIELD_OF(3, TEXT, cafe_notification_queued, channel),
    CAFE_FIELD_OF(4, TEXT, cafe_notification_queued, customer_id),
    CAFE_FIELD_OF(5, TEXT, cafe_notification_queued, message),
};
RULES_SCHEMA(notification_queued, "NotificationQueued");

static const cafe_field notification_sent_fields[] = {
    CAFE_FIELD_OF(1, I64, cafe_notification_sent, number),
    CAFE_FIELD_OF(2, I64, cafe_notification_sent, attempts),
};
RULES_SCHEMA(notification_sent, "NotificationSent");

static const cafe_field notification_failed_fields[] = {
    CAFE_FIELD_OF(1, I64, cafe_notification_failed, number),
    CAFE_FIELD_OF(2, I64, cafe_notification_failed, attempts),
    CAFE_FIELD_OF(3, TEXT, cafe_notification_failed, text),
};
RULES_SCHEMA(notification_failed, "NotificationFailed");

static const cafe_field delivery_task_fields[] = {
    CAFE_FIELD_OF(1, I64, cafe_delivery_task, number),   CAFE_FIELD_OF(2, TEXT, cafe_delivery_task, event),
    CAFE_FIELD_OF(3, TEXT, cafe_delivery_task, channel), CAFE_FIELD_OF(4, TEXT, cafe_delivery_task, customer_id),
    CAFE_FIELD_OF(5, TEXT, cafe_delivery_task, message),
};
RULES_SCHEMA(delivery_task, "DeliveryTask");

/* The list can't be told by a table: it is what the fold of the events makes. */
static const cafe_field notifications_fields[] = {
    CAFE_FIELD_OF(1, TEXT, cafe_notifications, customer_id),
    CAFE_FIELD_OF(2, I64, cafe_notifications, count),
};
RULES_SCHEMA(notifications, "Notifications");

static const cafe_field notification_row_fields[] = {
    CAFE_FIELD_OF(1, TEXT, cafe_notification_row, customer_id),
    CAFE_FIELD_OF(2, TEXT, cafe_notification_row, event),
    CAFE_FIELD_OF(3, TEXT, cafe_notification_row, channel),
    CAFE_FIELD_OF(4, TEXT, cafe_notification_row, message),
    CAFE_FIELD_ENUM_OF(5, cafe_notification_row, status, status_names),
    CAFE_FIELD_OF(6, I64, cafe_notification_row, attempts),
    CAFE_FIELD_OF(7, TIME, cafe_notification_row, created_at_ms),
    CAFE_FIELD_OF(8, TIME, cafe_notification_row, updated_at_ms),
};
RULES_SCHEMA(notification_row, "NotificationRow");

/* ---- decide ---- */

/* Takes the next name off the front of a list separated by spaces. An empty one: there is none left. */
static cafe_slice next_channel(cafe_slice *channels) {
  while (channels->size && channels->data[0] == ' ') {
    channels->data++;
    channels->size--;
  }
  cafe_slice name = {channels->data, 0};
  while (channels->size && channels->data[0] != ' ') {
    name.size++;
    channels->data++;
    channels->size--;
  }
  return name;
}

static bool is_queued(const cafe_notifications *all, cafe_slice event, cafe_slice channel) {
  const cafe_notification_item *item;
  LL_FOREACH(all->first, item) {
    if (cafe_slice_equal(item->event, event) && cafe_slice_equal(item->channel, channel)) {
      return true;
    }
  }
  return false;
}

/* Whether a list names a channel before the byte `end`. */
static bool is_named_before(cafe_slice channels, const char *end, cafe_slice channel) {
  for (cafe_slice name = next_channel(&channels); name.data < end; name = next_channel(&channels)) {
    if (cafe_slice_equal(name, channel)) {
      return true;
    }
  }
  return false;
}

static cafe_verdict notify_customer(cafe_decision *out, const void *state, const cafe_command *command) {
  const cafe_notifications *all = state;
  const cafe_notify_customer *notify = command->data;
  if (notify->event.size == 0) {
    return cafe_refuse(out, "invalid", "event: must be given");
  }
  cafe_notification_queued queued = {
      .number = all->count,
      .event = notify->event,
      .customer_id = notify->customer_id.size ? notify->customer_id : all->customer_id,
      .message = notify->message,
  };
  cafe_slice left = notify->channels;
  for (cafe_slice name = next_channel(&left); name.size; name = next_channel(&left)) {
    if (!is_queued(all, notify->event, name) && !is_named_before(notify->channels, name.data, name)) {
      queued.number++;
      queued.channel = name;
      cafe_emit(out, &cafe_notification_queued_type, &queued, sizeof(queued));
    }
  }
  return queued.number == all->count ? CAFE_UNCHANGED : CAFE_ACCEPTED;
}

static cafe_notification_item *find(const cafe_notifications *all, int64_t number) {
  cafe_notification_item *item;
  LL_SEARCH_SCALAR(all->first, item, number, number);
  return item;
}

static cafe_verdict record_delivery(cafe_decision *out, const void *state, const cafe_command *command) {
  const cafe_record_delivery *delivery = command->data;
  const cafe_notification_item *item = find(state, delivery->number);
  if (!item) {
    return cafe_refuse(out, "not-found", "there is no such notification");
  }
  if (item->status != CAFE_NOTIFICATION_QUEUED) {
    return CAFE_UNCHANGED;
  }
  switch (delivery->status) {
  case CAFE_NOTIFICATION_SENT:
    cafe_emit(out, &cafe_notification_sent_type, &(cafe_notification_sent){delivery->number, delivery->attempts},
              sizeof(cafe_notification_sent));
    return CAFE_ACCEPTED;
  case CAFE_NOTIFICATION_FAILED:
    cafe_emit(out, &cafe_notification_failed_type,
              &(cafe_notification_failed){delivery->number, delivery->attempts, delivery->text},
              sizeof(cafe_notification_failed));
    return CAFE_ACCEPTED;
  default:
    return cafe_refuse(out, "invalid", "status: must be Sent or Failed");
  }
}

static const rules_decide decides[] = {
    {&cafe_notify_customer_type, notify_customer},
    {&cafe_record_delivery_type, record_delivery},
    {NULL, NULL},
};

static cafe_verdict decide(cafe_decision *out, const void *state, const cafe_command *command, void *user) {
  (void)user;
  return rules_run_decide(out, decides, state, command);
}

/* ---- evolve ---- */

static int queued(void *state, const cafe_event *event, cafe_arena *arena) {
  cafe_notifications *all = state;
  cafe_notification_queued kept;
  cafe_notification_item *item = cafe_arena_alloc(arena, sizeof(*item));
  if (!item || cafe_schema_copy(&kept, event->data, event->type, arena)) {
    return CAFE_NOMEM;
  }
  item->status = CAFE_NOTIFICATION_QUEUED;
  item->number = kept.number;
  item->event = kept.event;
  item->channel = kept.channel;
  item->message = kept.message;
  if (all->last) {
    all->last->next = item;
  } else {
    all->first = item;
  }
  all->last = item;
  all->count = kept.number;
  all->customer_id = kept.customer_id;
  return CAFE_OK;
}

static int settle(const cafe_notifications *all, int64_t number, cafe_notification_status status) {
  cafe_notification_item *item = find(all, number);
  if (item) {
    item->status = status;
  }
  return CAFE_OK;
}

static int sent(void *state, const cafe_event *event, cafe_arena *arena) {
  (void)arena;
  return settle(state, ((const cafe_notification_sent *)event->data)->number, CAFE_NOTIFICATION_SENT);
}

static int failed(void *state, const cafe_event *event, cafe_arena *arena) {
  (void)arena;
  return settle(state, ((const cafe_notification_failed *)event->data)->number, CAFE_NOTIFICATION_FAILED);
}

static const rules_evolve evolves[] = {
    {&cafe_notification_queued_type, queued},
    {&cafe_notification_sent_type, sent},
    {&cafe_notification_failed_type, failed},
    {NULL, NULL},
};

static int evolve(void *state, const cafe_event *event, cafe_arena *arena, void *user) {
  (void)user;
  return rules_run_evolve(evolves, state, event, arena);
}

/* ---- tasks ---- */

static bool is_first_of_channel(const cafe_notifications *all, const cafe_notification_item *which) {
  const cafe_notification_item *item = all->first;
  while (item != which) {
    if (item->status == CAFE_NOTIFICATION_QUEUED && cafe_slice_equal(item->channel, which->channel)) {
      return false;
    }
    item = item->next;
  }
  return true;
}

static void tasks(cafe_tasks *out, const void *state, void *user) {
  (void)user;
  const cafe_notifications *all = state;
  const cafe_notification_item *item;
  LL_FOREACH(all->first, item) {
    if (item->status == CAFE_NOTIFICATION_QUEUED && is_first_of_channel(all, item)) {
      cafe_delivery_task task = {item->number, item->event, item->channel, all->customer_id, item->message};
      cafe_want(out, (uint32_t)item->number, &cafe_delivery_task_type, &task, sizeof(task), 0);
    }
  }
}

/* ---- the aggregate ---- */

static const cafe_schema *const events[] = {&cafe_notification_queued_type, &cafe_notification_sent_type,
                                            &cafe_notification_failed_type, NULL};

static const cafe_command_type commands[] = {
    {.command = &cafe_notify_customer_type},
    {.command = &cafe_record_delivery_type},
    {.command = NULL},
};

const cafe_aggregate cafe_notification_aggregate = {
    .size = CAFE_AGGREGATE,
    .name = "notification",
    .state = &cafe_notifications_type,
    .events = events,
    .commands = commands,
    .decide = decide,
    .evolve = evolve,
    .tasks = tasks,
    .task_types = (const cafe_schema *const[]){&cafe_delivery_task_type, NULL},
};
