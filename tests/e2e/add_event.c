/* SPDX-License-Identifier: Apache-2.0 */

/*
 * add_event FILE AGGREGATE KEY TYPE HEX: appends an event to a stream that isn't there yet, with any bytes as its data,
 * such as a newer program's that nobody else can read. Through the store: it refuses pages that anybody else has
 * written.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "one_unit.h"

static size_t read_hex(char *out, const char *hex) {
  size_t size = 0;
  for (; hex[0] && hex[1]; hex += 2) {
    char byte[] = {hex[0], hex[1], '\0'};
    out[size++] = (char)strtoul(byte, NULL, 16);
  }
  return size;
}

int main(int argc, char **argv) {
  static const cafe_table *const tables[] = {NULL};
  char data[1024];
  if (argc != 6 || strlen(argv[5]) > 2 * sizeof data)
    return 2;
  uint64_t key = strtoull(argv[3], NULL, 10);
  cafe_stored_event event = {.aggregate = argv[2],
                             .type = argv[4],
                             .key = key,
                             .version = 1,
                             .time_ms = (int64_t)time(NULL) * 1000,
                             .data = {data, read_hex(data, argv[5])}};
  cafe_unit unit = {.size = sizeof unit, .key = key, .events = &event, .event_count = 1};
  return one_unit("add_event", argv[1], tables, &unit, "the stream is there already");
}
