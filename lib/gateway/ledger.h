/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_LEDGER_H
#define GATEWAY_LEDGER_H

#include "cafe/gateway/sandbox.h"
#include "cafe/sys/gateway.h"

/*
 * The sandbox's books: one entry for each idempotency key, for ever, and sums. In memory, and with a path in a file
 * too.
 */
typedef struct ledger ledger;

typedef struct ledger_entry {
  cafe_payment_operation operation;
  cafe_gateway_result result; /* DONE or DECLINED: what surely wasn't done isn't entered */
  uint64_t payment_id;
  int64_t amount_minor;
  uint64_t number; /* from 1, in the order of entry: the reference */
  char key[40];
  char currency[8];
} ledger_entry;

/* path NULL: in memory only. loop BORROW: its read lane writes the file. written runs after each write, on the loop:
 * entries up to ledger_durable are safe, and if it failed (err) the rest waits for the next ledger_write.
 * CAFE_NOMEM, CAFE_INVALID, CAFE_CORRUPT, CAFE_DENIED. */
int ledger_open(ledger **out, cafe_loop *loop, const char *path, void (*written)(const cafe_err *err, void *user),
                void *user, const cafe_allocator *allocator, cafe_err *err);

/* Waits for a write that is under way, turning the loop. Not from a callback. NULL is allowed. */
void ledger_close(ledger *self);

/* NULL: there is none. */
const ledger_entry *ledger_find(const ledger *self, const char *key);

/* COPY; the number is given here. It counts at once, and is safe after a write. The key is new, and a word, as is the
 * currency. CAFE_NOMEM: it isn't in. */
int ledger_add(const ledger_entry **out, ledger *self, const ledger_entry *entry, cafe_err *err);

/* Begins to write what isn't written, if no write is under way. CAFE_OK or why it can't begin. */
int ledger_write(ledger *self, cafe_err *err);

bool ledger_is_file(const ledger *self);

/* The number of the last entry that survives the process; without a file, of the last entry. */
uint64_t ledger_durable(const ledger *self);

/* Sums over all payments, and over one. */
const cafe_sandbox_entry *ledger_total(const ledger *self);
cafe_sandbox_entry ledger_payment(const ledger *self, uint64_t payment_id);

#endif
