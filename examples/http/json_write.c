/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON out. Whatever goes in, what comes out is one valid JSON text: a comma stands before every member but the first
 * (the byte before tells which that is; a space is before the text), and bytes that aren't UTF-8 become U+FFFD. Field
 * tables do the rest, so that a field added to a row shows without a line here.
 */
#include "http/json.h"
#include "http/moment.h"

#include <inttypes.h>
#include <stdio.h>

static void quoted(buffer *out, cafe_slice text) {
  buffer_add(out, "\"", 1);
  size_t from = 0;
  bool is_valid = json_is_utf8(text);
  for (size_t i = 0; i < text.size; i++) {
    unsigned char c = (unsigned char)text.data[i];
    if (c >= 0x20 && c != '"' && c != '\\' && (c < 0x80 || is_valid)) {
      continue;
    }
    buffer_add(out, text.data + from, i - from);
    from = i + 1;
    if (c == '"' || c == '\\') {
      char escaped[2] = {'\\', (char)c};
      buffer_add(out, escaped, 2);
    } else if (c == '\n') {
      buffer_add(out, "\\n", 2);
    } else {
      buffer_format(out, "\\u%04x", c < 0x80 ? c : 0xFFFDu);
    }
  }
  buffer_add(out, text.data + from, text.size - from);
  buffer_add(out, "\"", 1);
}

static void member(buffer *out, const char *name) {
  char last = out->size ? out->data[out->size - 1] : '{';
  if (last != '{' && last != '[' && last != ' ') {
    buffer_add(out, ",", 1);
  }
  if (name) {
    quoted(out, cafe_text(name));
    buffer_add(out, ":", 1);
  }
}

void json_open(buffer *out, const char *name, char bracket) {
  member(out, name);
  buffer_add(out, &bracket, 1);
}

void json_close(buffer *out, char bracket) { buffer_add(out, &bracket, 1); }

void json_text(buffer *out, const char *name, cafe_slice text) {
  member(out, name);
  quoted(out, text);
}

void json_string(buffer *out, const char *name, const char *text) {
  member(out, name);
  if (text) {
    quoted(out, cafe_text(text));
  } else {
    buffer_text(out, "null");
  }
}

void json_integer(buffer *out, const char *name, int64_t number) {
  char text[24];
  int size = snprintf(text, sizeof text, "%" PRId64, number);
  member(out, name);
  buffer_add(out, text, (size_t)size);
}

void json_moment(buffer *out, const char *name, int64_t ms) {
  char text[MOMENT_MAX];
  if (ms) {
    moment_format(text, ms);
  }
  json_string(out, name, ms ? text : NULL);
}

static bool ends_with(const char *text, size_t size, const char *end) {
  size_t end_size = strlen(end);
  return size > end_size && memcmp(text + size - end_size, end, end_size) == 0;
}

void json_name(char out[JSON_NAME_MAX], const cafe_field *field) {
  const char *from = field->name;
  const char *behind = "";
  size_t size = strlen(from);
  if (field->type == CAFE_FIELD_TIME && ends_with(from, size, "_ms")) {
    size -= 3;
  } else if (ends_with(from, size, "_minor")) {
    size -= 6;
    behind = size == 6 && memcmp(from, "amount", 6) == 0 ? "" : "Amount";
  }
  size_t at = 0;
  for (size_t i = 0; i < size && at < JSON_NAME_MAX - 8; i++) {
    if (from[i] == '_' && i + 1 < size) {
      i++;
      out[at++] = (char)(from[i] >= 'a' && from[i] <= 'z' ? from[i] - 'a' + 'A' : from[i]);
    } else {
      out[at++] = from[i];
    }
  }
  memcpy(out + at, behind, strlen(behind) + 1);
}

static bool is_listed(const char *const *names, const char *name) {
  for (; names && *names; names++) {
    if (strcmp(*names, name) == 0) {
      return true;
    }
  }
  return false;
}

/* Money of a currency that isn't told is left out: a bare number would be read as something else. */
static void one_field(buffer *out, const cafe_value *from, int decimals) {
  char name[JSON_NAME_MAX];
  json_name(name, from->field);
  switch (from->field->type) {
  case CAFE_FIELD_BOOL:
    member(out, name);
    buffer_text(out, from->number ? "true" : "false");
    return;
  case CAFE_FIELD_TIME:
    json_moment(out, name, from->number);
    return;
  case CAFE_FIELD_ENUM:
    if (from->number == 0 || from->bytes.size == 0) {
      json_string(out, name, NULL);
    } else {
      json_text(out, name, from->bytes);
    }
    return;
  case CAFE_FIELD_TEXT:
  case CAFE_FIELD_BYTES:
    if (from->bytes.size == 0) {
      json_string(out, name, NULL);
    } else {
      json_text(out, name, from->bytes);
    }
    return;
  default:
    if (!ends_with(from->field->name, strlen(from->field->name), "_minor")) {
      json_integer(out, name, from->number);
    } else if (decimals >= 0) {
      char amount[CAFE_AMOUNT_TEXT_MAX];
      cafe_amount_format(amount, from->number, decimals);
      member(out, name);
      buffer_text(out, amount);
    }
  }
}

void json_fields(buffer *out, const cafe_schema *schema, const void *value, const char *const *hidden) {
  int decimals = -1;
  int currency = cafe_schema_find(schema, cafe_text("currency"));
  if (currency >= 0 &&
      cafe_currency_decimals(&decimals, cafe_schema_get(schema, value, (uint32_t)currency).bytes, NULL) != CAFE_OK) {
    decimals = -1;
  }
  for (uint32_t i = 0; i < schema->field_count; i++) {
    const cafe_field *field = &schema->fields[i];
    /* A struct can't be empty, so what says no more than its name has this one. */
    bool is_filler = strcmp(field->name, "unused") == 0;
    if (!is_filler && !(field->flags & CAFE_FIELD_SECRET) && !is_listed(hidden, field->name)) {
      cafe_value one = cafe_schema_get(schema, value, i);
      one_field(out, &one, decimals);
    }
  }
}
