/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HTTP_OPTIONS_H
#define HTTP_OPTIONS_H

#include "cafe/err.h"
#include "cafe/log.h"
#include "cafe/types.h"

/*
 * A server's options: a flag, and an environment variable of the same name (--accept-deadline is CAFE_ACCEPT_DEADLINE).
 * The flag wins over the variable, the variable over the default.
 */
enum { OPTION_VALUES_MAX = 16, OPTION_PORT_MAX = 65535 };

typedef struct option {
  const char *name;     /* "accept-deadline" */
  const char *argument; /* "DURATION", for --help; NULL: the flag has no value, and the variable is 1 or 0 */
  const char *fallback; /* NULL: none */
  const char *help;
  bool is_repeatable; /* the variable separates values by spaces */

  const char
      *values[OPTION_VALUES_MAX]; /* set by options_read; BORROW the command line, or kept for the process's life */
  uint32_t count;
  bool is_given;
  char given_as[72]; /* "--accept-deadline ", or "CAFE_ACCEPT_DEADLINE=" where the variable is what counts */
} option;

/* Fills a table ended by {NULL}. --help and --version print and exit 0. CAFE_INVALID says what is wrong. */
int options_read(option *table, int argc, char **argv, const char *summary, cafe_err *err);

/* An option's value, or values[0]; NULL where there is none. */
const char *option_value(const option *table, const char *name);
const option *option_find(const option *table, const char *name);
/* How it was given, for a line that says what is wrong with its value, which follows at once. */
const char *option_given_as(const option *table, const char *name);

/* Seconds, or "500ms", "30s"; from 1 ms to a day. */
int option_duration(int64_t *out_ms, const option *table, const char *name, cafe_err *err);
/* A whole number, up to a million. */
int option_number(uint32_t *out, const option *table, const char *name, cafe_err *err);
/* Whether a flag without a value is given. */
int option_switch(bool *out, const option *table, const char *name, cafe_err *err);
/* Each value of --peer is NAME=tcp://HOST:PORT, NAME one of the services', and none is there twice. */
int option_peers(const option *table, const char *name, cafe_err *err);
/* That peer's HOST:PORT, of values that option_peers has seen; NULL: there is none. */
const char *option_peer(const option *table, const char *name, const char *peer);
/* "tcp://HOST:PORT". host is the caller's. */
int option_node(char *host, size_t host_size, int *port, const option *table, const char *name, cafe_err *err);
/* "HOST:PORT", "[::1]:8080". host is the caller's. port is at most max. */
int option_address(char *host, size_t host_size, int *port, const option *table, const char *name, int max,
                   cafe_err *err);
/* error, warn, info, debug. */
int option_log_level(cafe_log_level *out, const option *table, const char *name, cafe_err *err);

#endif
