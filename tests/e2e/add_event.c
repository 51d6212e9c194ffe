/* SPDX-License-Identifier: Apache-2.0 */

/*
 * add_event FILE AGGREGATE KEY TYPE HEX: appends an event to a stream that isn't there yet, with any bytes as its data,
 * such as a newer program's that nobody else can read. Through the store: it refuses pages that anybody else has
 * written.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cafe/store/sqlite.h"
#include "cafe/sys/store.h"

static size_t read_hex(char *out, const char *hex) {
  size_t size = 0;
  for (; hex[0] && hex[1]; hex += 2) {
    char byte[] = {hex[0], hex[1], '\0'};
    out[size++] = (char)strtoul(byte, NULL, 16);
  }
  return size;
}

int main(int argc, char **argv) {
  cafe_err err = {0};
  cafe_store *store = NULL;
  cafe_store_info info = CAFE_STORE_INFO_INIT;
  const cafe_table *tables[] = {NULL};
  cafe_store_setup setup = {sizeof setup, "add_event", tables};
  cafe_arena *arena = cafe_arena_create(NULL);
  char data[1024];
  if (argc != 6 || strlen(argv[5]) > 2 * sizeof data || !arena)
    return 2;
  uint64_t key = strtoull(argv[3], NULL, 10);
  cafe_stored_event event = {.aggregate = argv[2],
                             .type = argv[4],
                             .key = key,
                             .version = 1,
                             .time_ms = (int64_t)time(NULL) * 1000,
                             .data = {data, read_hex(data, argv[5])}};
  cafe_unit unit = {.size = sizeof unit, .key = key, .events = &event, .event_count = 1};
  cafe_batch batch = {sizeof batch, (cafe_unit *[]){&unit}, 1, arena};
  int code = cafe_sqlite_create(&store, argv[1], NULL, &err);
  if (!code)
    code = store->ops->open(store, &info, &setup, &err);
  if (!code)
    code = store->ops->commit(store, &batch, &err);
  if (code || unit.result != CAFE_UNIT_DONE)
    fprintf(stderr, "add_event: %s\n", code ? err.text : "the stream is there already");
  cafe_store_destroy(store);
  cafe_arena_destroy(arena);
  return code || unit.result != CAFE_UNIT_DONE;
}
