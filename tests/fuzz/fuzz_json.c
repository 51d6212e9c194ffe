/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A request's body, any bytes at all: refused, or an object whose members have each a name of its own and a value that
 * is JSON wherever it stands; and a text that was read is the same after it was written and read again.
 */
#include <string.h>

#include "cafe/cafe.h"
#include "fuzz.h"
#include "http/json.h"

static cafe_slice whole(const buffer *bytes) { return (cafe_slice){bytes->data, bytes->size}; }

static int compare(cafe_slice a, cafe_slice b) {
  size_t size = a.size < b.size ? a.size : b.size;
  int order = size ? memcmp(a.data, b.data, size) : 0;
  return order ? order : (a.size > b.size) - (a.size < b.size);
}

static void check_text(cafe_arena *arena, cafe_slice text) {
  buffer written = {NULL, 0, 0, false};
  json_object again;
  json_open(&written, NULL, '{');
  json_text(&written, "text", text);
  json_close(&written, '}');
  require(json_read(&again, arena, whole(&written), NULL) == CAFE_OK && again.count == 1);
  require(again.members[0].kind == JSON_STRING && cafe_slice_equal(again.members[0].text, text));
  buffer_reset(&written);
}

/* In an array, since an object within an object may name a member twice: nobody takes it. */
static void check_value(cafe_arena *arena, cafe_slice text) {
  buffer written = {NULL, 0, 0, false};
  json_object array;
  json_open(&written, NULL, '[');
  buffer_add(&written, text.data, text.size);
  json_close(&written, ']');
  require(json_read(&array, arena, whole(&written), NULL) == CAFE_OK && !array.is_object);
  buffer_reset(&written);
}

static void check_member(cafe_arena *arena, const json_member *member, cafe_slice source) {
  require(json_is_utf8(member->name));
  if (member->kind == JSON_STRING) {
    require(json_is_utf8(member->text));
    check_text(arena, member->text);
    return;
  }
  require(member->text.data >= source.data && member->text.data + member->text.size <= source.data + source.size);
  check_value(arena, member->text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  cafe_arena *arena = cafe_arena_create(NULL);
  cafe_slice source = {(const char *)data, size};
  json_object object;
  cafe_err err;
  require(arena != NULL);
  if (json_read(&object, arena, source, &err)) {
    require(err.code == CAFE_INVALID);
  } else {
    for (uint32_t i = 0; i < object.count; i++) {
      require(i == 0 || compare(object.members[i - 1].name, object.members[i].name) < 0);
      check_member(arena, &object.members[i], source);
    }
  }
  cafe_arena_destroy(arena);
  return 0;
}
