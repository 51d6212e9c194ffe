/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From JSON members to a struct, by its field table. Only the form is judged here (a number, a moment, a name); what a
 * value may be is the domain's to say. A member that isn't in the table of what is taken is ignored, so a request can't
 * set what only the server may: the table, not the struct, says what comes from outside.
 */
#include "http/json.h"
#include "http/moment.h"

bool json_is_wrong(const json_wrongs *wrongs, const char *field) {
  for (uint32_t i = 0; i < wrongs->count; i++) {
    if (strcmp(wrongs->items[i].field, field) == 0) {
      return true;
    }
  }
  return false;
}

void json_add_wrong(json_wrongs *wrongs, const char *field, const char *message) {
  bool is_muted = wrongs->muted && strcmp(wrongs->muted, field) == 0;
  if (wrongs->count < JSON_WRONG_MAX && !is_muted && !json_is_wrong(wrongs, field)) {
    wrongs->items[wrongs->count++] = (json_wrong){field, message};
  }
}

/* A whole number of at most 18 digits: more than any field takes, and no overflow. */
static bool whole(int64_t *out, cafe_slice text) {
  size_t i = text.size > 0 && text.data[0] == '-' ? 1 : 0;
  bool is_negative = i == 1;
  if (i == text.size || text.size - i > 18) {
    return false;
  }
  *out = 0;
  for (; i < text.size; i++) {
    if (text.data[i] < '0' || text.data[i] > '9') {
      return false;
    }
    *out = *out * 10 + (text.data[i] - '0');
  }
  if (is_negative) {
    *out = -*out;
  }
  return true;
}

static const char *take_amount(cafe_value *to, void *struct_, const cafe_schema *schema, const json_member *member) {
  int decimals;
  int currency = cafe_schema_find(schema, cafe_text("currency"));
  if (member->kind != JSON_NUMBER && member->kind != JSON_STRING) {
    return "must be a decimal number";
  }
  if (currency >= 0 &&
      cafe_currency_decimals(&decimals, cafe_schema_get(schema, struct_, (uint32_t)currency).bytes, NULL) != CAFE_OK) {
    return NULL; /* the currency is named as wrong by the domain; the amount can't be judged */
  }
  if (currency < 0 || cafe_amount_parse(&to->number, member->text, decimals, NULL) != CAFE_OK) {
    return "must be a decimal number from 0 to 10^12 minor units, with no more decimals than the currency has";
  }
  return NULL;
}

/* Returns what is wrong, or NULL. */
static const char *take_one(void *struct_, const cafe_schema *schema, uint32_t index, const json_taken *taken,
                            const json_member *member) {
  const cafe_field *field = &schema->fields[index];
  cafe_value to = {.field = field};
  bool is_text = member->kind == JSON_STRING;
  switch (field->type) {
  case CAFE_FIELD_TEXT:
    if (!is_text && !(taken->is_any_text && member->kind == JSON_NUMBER)) {
      return "must be a string";
    }
    to.bytes = member->text;
    break;
  case CAFE_FIELD_ENUM:
    if (!is_text || member->text.size == 0) {
      return "must be one of the names";
    }
    to.bytes = member->text;
    break;
  case CAFE_FIELD_TIME:
    if (!is_text || !moment_parse(&to.number, member->text)) {
      return "must be YYYYMMDDhhmmss or RFC 3339, and exist in the calendar";
    }
    break;
  case CAFE_FIELD_BOOL:
    if (member->kind != JSON_BOOL) {
      return "must be true or false";
    }
    to.number = member->text.data[0] == 't';
    break;
  default: {
    size_t size = strlen(field->name);
    if (size > 6 && strcmp(field->name + size - 6, "_minor") == 0) {
      const char *wrong = take_amount(&to, struct_, schema, member);
      if (wrong) {
        return wrong;
      }
    } else if ((!is_text && member->kind != JSON_NUMBER) || !whole(&to.number, member->text)) {
      return "must be a whole number";
    }
  }
  }
  return cafe_schema_set(struct_, schema, index, &to, NULL) == CAFE_OK ? NULL : "is not a value that it can have";
}

void json_take(void *value, const cafe_schema *schema, const json_object *object, const json_taken *taken,
               json_wrongs *wrongs) {
  for (; taken->name; taken++) {
    const json_member *member = json_find(object, taken->name);
    int index = cafe_schema_find(schema, cafe_text(taken->field));
    const char *wrong = member && index >= 0 ? take_one(value, schema, (uint32_t)index, taken, member) : NULL;
    if (wrong) {
      json_add_wrong(wrongs, taken->name, wrong);
    }
  }
}
