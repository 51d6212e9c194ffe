/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What differs, in words. What is kept here: nothing is compared but what a schema names, and whatever differs is told
 * in full or by where it begins to differ, so that two lines that look the same never stand under "wanted" and "got".
 * A secret is compared and never shown.
 */
#include "testing/given_core.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/str.h"

enum { VALUE_MAX = 160, DATA_MAX = 600 };

void words_add(given_words *words, const char *format, ...) {
  va_list args;
  va_start(args, format);
  const char *line = arena_vprintf(words->arena, format, args);
  va_end(args);
  const char *before = words->text;
  const char *all = line ? arena_printf(words->arena, "%s%s%s", before ? before : "", before ? "\n" : "", line) : NULL;
  words->is_cut = words->is_cut || !all;
  words->text = all ? all : before;
}

/* ---- values ---- */

/* As far as there is room: what isn't printable is escaped. */
static void put_quoted(char out[VALUE_MAX], cafe_slice text) {
  size_t used = (size_t)snprintf(out, VALUE_MAX, "\""), i = 0;
  for (; i < text.size && used + 10 < VALUE_MAX; i++) {
    unsigned char c = (unsigned char)text.data[i];
    bool is_plain = c >= 0x20 && c != '"' && c != '\\' && c != 0x7f;
    used += (size_t)snprintf(out + used, VALUE_MAX - used, is_plain ? "%c" : "\\x%02x", c);
  }
  snprintf(out + used, VALUE_MAX - used, "\"%s", i < text.size ? "..." : "");
}

static void put_bytes(char out[VALUE_MAX], cafe_slice bytes) {
  size_t used = (size_t)snprintf(out, VALUE_MAX, "x'"), i = 0;
  for (; i < bytes.size && used + 10 < VALUE_MAX; i++) {
    used += (size_t)snprintf(out + used, VALUE_MAX - used, "%02x", (unsigned char)bytes.data[i]);
  }
  snprintf(out + used, VALUE_MAX - used, "'%s", i < bytes.size ? "..." : "");
}

static void put_value(char out[VALUE_MAX], const cafe_value *value) {
  switch (value->field->type) {
  case CAFE_FIELD_BOOL:
    snprintf(out, VALUE_MAX, "%s", value->number ? "true" : "false");
    break;
  case CAFE_FIELD_TEXT:
    put_quoted(out, value->bytes);
    break;
  case CAFE_FIELD_BYTES:
    put_bytes(out, value->bytes);
    break;
  case CAFE_FIELD_ENUM:
    if (value->bytes.size) {
      snprintf(out, VALUE_MAX, "%.*s", (int)value->bytes.size, value->bytes.data);
      break;
    }
    snprintf(out, VALUE_MAX, "%" PRId64, value->number);
    break;
  default:
    snprintf(out, VALUE_MAX, "%" PRId64, value->number);
    break;
  }
}

static bool is_bytes(const cafe_field *field) {
  return field->type == CAFE_FIELD_TEXT || field->type == CAFE_FIELD_BYTES;
}

/* An enum's name is the table's, so its number says all. */
static bool same_value(const cafe_value *a, const cafe_value *b) {
  return is_bytes(a->field) ? cafe_slice_equal(a->bytes, b->bytes) : a->number == b->number;
}

/* ---- data ---- */

bool words_same(const cafe_schema *schema, const void *a, const void *b) {
  for (uint32_t i = 0; i < schema->field_count; i++) {
    cafe_value one = cafe_schema_get(schema, a, i), other = cafe_schema_get(schema, b, i);
    if (!same_value(&one, &other)) {
      return false;
    }
  }
  return true;
}

static size_t first_difference(cafe_slice a, cafe_slice b) {
  size_t at = 0;
  while (at < a.size && at < b.size && a.data[at] == b.data[at]) {
    at++;
  }
  return at;
}

/* What given_spoil leaves of a text that was kept where it lay. */
static bool is_spoiled(cafe_slice text) {
  size_t at = 0;
  while (at < text.size && text.data[at] == '~') {
    at++;
  }
  return text.size > 0 && at == text.size;
}

static void compare_value(given_words *words, const char *where, const cafe_schema *schema, const cafe_value *wanted,
                          const cafe_value *got) {
  char one[VALUE_MAX], other[VALUE_MAX], hint[VALUE_MAX] = "";
  const char *field = wanted->field->name;
  if (wanted->field->flags & CAFE_FIELD_SECRET) {
    words_add(words, "%s%s.%s: wanted another secret than it got", where, schema->name, field);
    return;
  }
  put_value(one, wanted);
  put_value(other, got);
  if (is_bytes(wanted->field) && is_spoiled(got->bytes)) {
    snprintf(hint, sizeof(hint), " (what was handed in was kept and not copied: cafe_arena_copy)");
  } else if (strcmp(one, other) == 0) {
    snprintf(hint, sizeof(hint), " (they differ from byte %zu on)", first_difference(wanted->bytes, got->bytes));
  }
  words_add(words, "%s%s.%s: wanted %s, got %s%s", where, schema->name, field, one, other, hint);
}

void words_compare(given_words *words, const char *where, const cafe_schema *schema, const void *wanted,
                   const void *got) {
  for (uint32_t i = 0; i < schema->field_count; i++) {
    cafe_value one = cafe_schema_get(schema, wanted, i), other = cafe_schema_get(schema, got, i);
    if (!same_value(&one, &other)) {
      compare_value(words, where, schema, &one, &other);
    }
  }
}

/* The fields that aren't zero: "TableBooked {guests 3, name "kim"}". */
static void put_data(char out[DATA_MAX], const cafe_schema *schema, const void *data) {
  size_t used = (size_t)snprintf(out, DATA_MAX, "%s {", schema->name);
  const char *between = "";
  for (uint32_t i = 0; i < schema->field_count && used + VALUE_MAX + 70 < DATA_MAX; i++) {
    char text[VALUE_MAX] = "(secret)";
    cafe_value value = cafe_schema_get(schema, data, i);
    if (is_bytes(value.field) ? value.bytes.size == 0 : value.number == 0) {
      continue;
    }
    if (!(value.field->flags & CAFE_FIELD_SECRET)) {
      put_value(text, &value);
    }
    used += (size_t)snprintf(out + used, DATA_MAX - used, "%s%.60s %s", between, value.field->name, text);
    between = ", ";
  }
  snprintf(out + used, DATA_MAX - used, "}");
}

/* ---- lists ---- */

static void put_item(char out[DATA_MAX], const given_item *item) {
  if (item) {
    put_data(out, item->fact.type, item->fact.data);
  } else {
    snprintf(out, DATA_MAX, "nothing");
  }
}

static void compare_numbers(given_words *words, const char *where, const cafe_fact *wanted, const cafe_fact *got,
                            uint64_t own_key) {
  uint64_t key = wanted->key ? wanted->key : own_key, key_got = got->key ? got->key : own_key;
  if (key != key_got) {
    words_add(words, "%s%s: wanted to key %" PRIu64 ", got to key %" PRIu64, where, wanted->type->name, key, key_got);
  }
  if (wanted->task != got->task) {
    words_add(words, "%s%s: wanted with the id %u, got %u", where, wanted->type->name, wanted->task, got->task);
  }
  if (wanted->not_before_ms != got->not_before_ms) {
    words_add(words, "%s%s: wanted not before %" PRId64 ", got %" PRId64, where, wanted->type->name,
              wanted->not_before_ms, got->not_before_ms);
  }
}

void words_compare_lists(given_words *words, const char *what, const given_list *wanted, const given_list *got,
                         uint64_t own_key) {
  const given_item *one = wanted->first, *other = got->first;
  for (unsigned number = 1; one || other; number++) {
    char where[64], text[DATA_MAX], text_got[DATA_MAX];
    snprintf(where, sizeof(where), "  %s %u: ", what, number);
    if (one && other && one->fact.type == other->fact.type) {
      compare_numbers(words, where, &one->fact, &other->fact, own_key);
      words_compare(words, where, one->fact.type, one->fact.data, other->fact.data);
    } else {
      put_item(text, one);
      put_item(text_got, other);
      words_add(words, "%swanted %s, got %s", where, text, text_got);
    }
    one = one ? one->next : NULL;
    other = other ? other->next : NULL;
  }
}

const char *words_verdict(cafe_verdict verdict) {
  static const char *const names[] = {"nothing", "accepted", "unchanged", "pending", "refused"};
  return verdict >= CAFE_ACCEPTED && verdict <= CAFE_REFUSED ? names[verdict] : names[0];
}

/* ---- failures ---- */

static const char no_words[] = "there is no memory to say what failed";

bool given_fail(cafe_given *it, const char *format, ...) {
  if (!it->why) {
    va_list args;
    va_start(args, format);
    const char *text = arena_vprintf(it->words, format, args);
    va_end(args);
    it->why = text ? text : no_words;
  }
  return false;
}

bool given_judge(cafe_given *it, const given_words *words, const char *format, ...) {
  if (!words->text && !words->is_cut) {
    return true;
  }
  va_list args;
  va_start(args, format);
  const char *head = arena_vprintf(it->words, format, args);
  va_end(args);
  return given_fail(it, "%s%s%s%s", head ? head : "", head ? ":\n" : "", words->text ? words->text : no_words,
                    words->text && words->is_cut ? "\n  and more, for which there is no memory" : "");
}
