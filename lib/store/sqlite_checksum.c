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
 * Software-based CRC Generators", ISCC 2005), an event costs about a tenth of a microsecond; a tenth of that by the
 * processor's own instruction, where it has one for this very polynomial.
 */
#include <pthread.h>
#include <string.h>

#include "store/sqlite_store.h"

enum { SLICES = 8 };

static uint32_t tables[SLICES][256];
static pthread_once_t chosen_once = PTHREAD_ONCE_INIT;

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

static uint32_t add_by_tables(uint32_t crc, const void *bytes, size_t size) {
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

#if defined(__x86_64__) && defined(__GNUC__)
__attribute__((target("sse4.2"))) static uint32_t add_by_instruction(uint32_t crc, const void *bytes, size_t size) {
  const unsigned char *p = bytes;
  uint64_t wide = crc;
  for (; size >= sizeof(uint64_t); size -= sizeof(uint64_t), p += sizeof(uint64_t)) {
    uint64_t word;
    memcpy(&word, p, sizeof(word));
    wide = __builtin_ia32_crc32di(wide, word);
  }
  crc = (uint32_t)wide;
  for (; size > 0; size--, p++) {
    crc = __builtin_ia32_crc32qi(crc, *p);
  }
  return crc;
}

static bool has_instruction(void) {
  __builtin_cpu_init();
  return __builtin_cpu_supports("sse4.2");
}
#else
static uint32_t add_by_instruction(uint32_t crc, const void *bytes, size_t size) {
  return add_by_tables(crc, bytes, size);
}

static bool has_instruction(void) { return false; }
#endif

static bool is_by_instruction; /* set once, with the tables */

static void choose(void) {
  make_tables();
  is_by_instruction = has_instruction();
}

static uint32_t add(uint32_t crc, const void *bytes, size_t size) {
  return is_by_instruction ? add_by_instruction(crc, bytes, size) : add_by_tables(crc, bytes, size);
}

enum { GATHERED_MAX = 512 };

/* What is added in small pieces, gathered where it is small in all: many short runs cost more than one. */
typedef struct gathered {
  uint32_t crc;
  size_t size;
  unsigned char bytes[GATHERED_MAX];
} gathered;

static void gather(gathered *self, const void *bytes, size_t size) {
  if (size > GATHERED_MAX - self->size) {
    self->crc = add(self->crc, self->bytes, self->size);
    self->size = 0;
  }
  if (size > GATHERED_MAX) {
    self->crc = add(self->crc, bytes, size);
  } else if (size > 0) {
    memcpy(self->bytes + self->size, bytes, size);
    self->size += size;
  }
}

static void gather_number(gathered *self, uint64_t number) {
  unsigned char bytes[8];
  for (int i = 0; i < 8; i++) {
    bytes[i] = (unsigned char)(number >> (8 * i));
  }
  gather(self, bytes, sizeof(bytes));
}

static void gather_slice(gathered *self, cafe_slice slice) {
  gather_number(self, slice.size);
  gather(self, slice.data, slice.size);
}

uint32_t sqlite_checksum_by_tables(const void *bytes, size_t size) {
  pthread_once(&chosen_once, choose);
  return ~add_by_tables(~0u, bytes, size);
}

uint32_t sqlite_checksum_bytes(const void *bytes, size_t size) {
  pthread_once(&chosen_once, choose);
  return ~add(~0u, bytes, size);
}

uint32_t sqlite_checksum(const cafe_stored_event *event) {
  pthread_once(&chosen_once, choose);
  gathered all;
  all.crc = ~0u;
  all.size = 0;
  gather_number(&all, event->n);
  gather_number(&all, event->key);
  gather_number(&all, event->version);
  gather_number(&all, (uint64_t)event->time_ms);
  gather_slice(&all, cafe_text(event->aggregate));
  gather_slice(&all, cafe_text(event->type));
  gather_slice(&all, event->trace);
  gather_slice(&all, event->data);
  if (event->meta.size) {
    gather_slice(&all, event->meta);
  }
  return ~add(all.crc, all.bytes, all.size);
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
