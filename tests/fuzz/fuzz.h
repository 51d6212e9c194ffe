/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FUZZ_H
#define FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/* The entry that libFuzzer calls by this name. Aborts on a finding. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline void require(bool truth) {
  if (!truth) {
    abort();
  }
}

#endif
