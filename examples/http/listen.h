/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HTTP_LISTEN_H
#define HTTP_LISTEN_H

#include "cafe/err.h"
#include "cafe/types.h"

/* Sockets that a process listens at: its own, or a supervisor's. */

/* Opens one. OWN. CAFE_INVALID, CAFE_DENIED (the address is in use). */
int listen_open(int *out, const char *host, int port, cafe_err *err);

/* Where a socket listens: "127.0.0.1:8081", "[::1]:8081". */
enum { LISTEN_NAME_MAX = 128 };
void listen_name(char out[LISTEN_NAME_MAX], int fd);

/* Those that the process was started with, by systemd's protocol (sd_listen_fds(3)): they are the supervisor's too,
 * which keeps them open, so that who connects while one process ends and the next one starts waits instead of being
 * refused. */
enum { LISTEN_INHERITED_MAX = 16 };
typedef struct listen_inherited {
  int count;
  struct {
    int fd; /* -1: it was taken */
    cafe_slice name;
  } all[LISTEN_INHERITED_MAX];
} listen_inherited;

/* Reads LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES. CAFE_INVALID: it is something else than listening sockets. */
int listen_inherit(listen_inherited *out, cafe_err *err);
/* The one of that name; -1: there is none. OWN: to close it leaves the supervisor's as it is, to shut it down doesn't.
 */
int listen_take(listen_inherited *self, const char *name);
/* CAFE_INVALID names one that nobody has taken: whoever handed it over expects somebody to answer there. */
int listen_check(const listen_inherited *self, cafe_err *err);

#endif
