/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Checksums: one of ours, and the one that SQLite has in its WAL.
 *
 * The checksum of an event row is CRC-32C (Castagnoli; RFC 3720, appendix B.4) over every column, numbers as eight
 * bytes, the low one first, texts with their size before them, so that no two rows write the same bytes; meta comes
 * last and only where there is some, which keeps that so. It is stored with the event and must never change its
 * meaning: a log written today is read for ever.
 *
 * Written out here because it is forty lines, while zlib would be one more library for everybody who links SQLite. By
 * eight tables, a byte of each at a time (Kounavis and Berry, "A Systematic Approach to Building High Performance
 * Software-based CRC Generators", ISCC 2005), an event costs about a tenth of a microsecond.
 */
#include <pthread.h>
#include <string.h>

#include "store/sqlite_store.h"

enum { SLICES = 8 };

static uint32_t tables[SLICES][256];
static pthread_once_t tables_once = PTHREAD_ONCE_INIT;

static void make_tables(void) {
  for (uint32_t i = 0; i < 256; i++) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; bit++) {
      crc = (crc & 1) ? (crc >> 1) ^ 0x82f63b78u : crc >> 1;
    }
    tables[0][i] = crc;
  }
  for (uint32_t i = 0; i < 256; i++) {
    for (int slice = 1; slice < SLICES; slice++) {
      uint32_t before = tables[slice - 1][i];
      tables[slice][i] = (before >> 8) ^ tables[0][before & 0xff];
    }
  }
}

static uint32_t add(uint32_t crc, const void *bytes, size_t size) {
  const unsigned char *p = bytes;
  for (; size >= SLICES; size -= SLICES, p += SLICES) {
    uint32_t low = crc ^ ((uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24);
    crc = tables[7][low & 0xff] ^ tables[6][low >> 8 & 0xff] ^ tables[5][low >> 16 & 0xff] ^ tables[4][low >> 24] ^
          tables[3][p[4]] ^ tables[2][p[5]] ^ tables[1][p[6]] ^ tables[0][p[7]];
  }
  for (; size > 0; size--, p++) {
    crc = (crc >> 8) ^ tables[0][(crc ^ *p) & 0xff];
  }
  return crc;
}

static uint32_t add_number(uint32_t crc, uint64_t number) {
  unsigned char bytes[8];
  for (int i = 0; i < 8; i++) {
    bytes[i] = (unsigned char)(number >> (8 * i));
  }
  return add(crc, bytes, sizeof(bytes));
}

static uint32_t add_slice(uint32_t crc, cafe_slice slice) {
  crc = add_number(crc, slice.size);
  return add(crc, slice.data, slice.size);
}

uint32_t sqlite_checksum_bytes(const void *bytes, size_t size) {
  pthread_once(&tables_once, make_tables);
  return ~add(~0u, bytes, size);
}

uint32_t sqlite_checksum(const cafe_stored_event *event) {
  pthread_once(&tables_once, make_tables);
  uint32_t crc = ~0u;
  crc = add_number(crc, event->n);
  crc = add_number(crc, event->key);
  crc = add_number(crc, event->version);
  crc = add_number(crc, (uint64_t)event->time_ms);
  crc = add_slice(crc, cafe_text(event->aggregate));
  crc = add_slice(crc, cafe_text(event->type));
  crc = add_slice(crc, event->trace);
  crc = add_slice(crc, event->data);
  if (event->meta.size) {
    crc = add_slice(crc, event->meta);
  }
  return ~crc;
}

void sqlite_sums(uint32_t sums[2], const void *bytes, size_t size, bool big_endian) {
  const unsigned char *p = bytes;
  uint32_t first = sums[0];
  uint32_t second = sums[1];
  for (; size >= 8; size -= 8, p += 8) {
    uint32_t a;
    uint32_t b;
    if (big_endian) {
      a = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
      b = (uint32_t)p[4] << 24 | (uint32_t)p[5] << 16 | (uint32_t)p[6] << 8 | p[7];
    } else {
      a = (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
      b = (uint32_t)p[4] | (uint32_t)p[5] << 8 | (uint32_t)p[6] << 16 | (uint32_t)p[7] << 24;
    }
    first += a + second;
    second += b + first;
  }
  sums[0] = first;
  sums[1] = second;
}
