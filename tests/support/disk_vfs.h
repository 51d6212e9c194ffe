/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DISK_VFS_H
#define DISK_VFS_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * A disk under SQLite that fails, and that loses power. It is a VFS over the system's own: what is written goes to real
 * files, and is remembered, so that afterwards the files can be made what a power loss at any moment would have left.
 * One at a time. Threadsafe.
 */
#define DISK_VFS "disk"

typedef enum disk_fault {
  DISK_GONE = 1,  /* call n and all later ones do nothing and fail */
  DISK_FULL = 2,  /* from call n on writes fail halfway */
  DISK_ERROR = 3, /* call n fails: a write halfway, a sync so that no later one makes up for it */
  DISK_KILL = 4   /* SIGKILL instead of call n */
} disk_fault;

/* Registers the VFS. Files whose path begins with `path` are the disk's. */
void disk_begin(const char *path);
void disk_end(void);

/* A fault for the n-th call, from 1, of those that write, truncate, sync, delete or enlarge. 0: none. */
void disk_arm(disk_fault fault, uint64_t n);
/* Calls since it was armed. */
uint64_t disk_calls(void);
/* Whether the fault came. */
bool disk_failed(void);

/* Whether reading fails: call n of xRead, once, from 1; 0: none. */
void disk_arm_read(uint64_t n);
/* Reads since it was armed. */
uint64_t disk_reads(void);

/* SQLite's naps are cut short: for tests in which what it waits for never comes. Without that they last as long as it
 * means them to, because it counts naps, not time. */
void disk_hurry(bool hurries);

/* The next commit stops where readers see half of it, until SQLite has napped so often elsewhere. 0: it goes on. */
void disk_hold(uint64_t naps);
/* Waits until it stands there. False: it doesn't come. */
bool disk_await_hold(void);

/* Begins to remember, with the files as they are now for durable. */
void disk_remember(void);
/* How much happened since: moment m is after the m-th call. */
uint64_t disk_moment(void);
typedef enum disk_loss {
  DISK_KEPT = 0,     /* nothing is lost: what kill -9 leaves */
  DISK_DROPPED = 1,  /* nothing survives that wasn't synced */
  DISK_TORN = 2,     /* it survives up to some sector, in the order of writing */
  DISK_SHUFFLED = 3, /* each sector is in any state since the last sync */
  DISK_BACKWARDS = 4 /* the last sectors survive, those before them don't */
} disk_loss;
enum { DISK_LOSSES = 5 };

/* Makes the files what is left if the power went at that moment. No file may be open. With `to` they are made there: it
 * replaces the path handed to disk_begin. What happened is forgotten only by disk_remember. */
void disk_lose_power(uint64_t moment, disk_loss loss, uint64_t seed, const char *to);

#endif
