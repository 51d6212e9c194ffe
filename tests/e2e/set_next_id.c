/* SPDX-License-Identifier: Apache-2.0 */

/* set_next_id FILE N: makes a store whose first order will have the number N. */
#include <stdlib.h>

#include "engine/node.h"
#include "one_unit.h"

int main(int argc, char **argv) {
  const cafe_table *const tables[] = {&engine_tables[TABLE_IDS], NULL};
  if (argc != 3)
    return 2;
  id_row data = {(int64_t)strtoull(argv[2], NULL, 10)};
  cafe_row_write row = {.table = tables[0], .key = 1, .data = &data};
  cafe_unit unit = {.size = sizeof unit, .key = 1, .rows = &row, .row_count = 1};
  return one_unit("set_next_id", argv[1], tables, &unit, "the store has numbers already");
}
