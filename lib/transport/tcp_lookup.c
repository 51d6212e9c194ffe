/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names are looked up by getaddrinfo, which takes as long as the resolver likes and can't be stopped. So each lookup
 * has a thread of its own, which nobody waits for: it shares no memory with the transport, only a pair of sockets, and
 * when its outcome isn't wanted any more it writes to one that has no other end. A lane of the loop wouldn't do: a job
 * there can't be abandoned, and the loop couldn't be destroyed until it is done.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "transport/tcp_core.h"

struct lookup {
  cafe_watch watch;
  endpoint *endpoint;
};

/* What the thread says. */
typedef struct outcome {
  int count;
  place places[PLACES_MAX];
  char why[120];
} outcome;

/* What it is told, and frees. The C library's memory, since the transport's allocator may be gone by then. */
typedef struct task {
  int fd;
  address address;
} task;

static void *lookup_main(void *user) {
  task *t = user;
  outcome out;
  const char *why = "";
  memset(&out, 0, sizeof(out));
  out.count = address_look_up(out.places, &t->address, &why);
  (void)snprintf(out.why, sizeof(out.why), "%s", why);
  /* A pair of sockets takes such a message whole, or the other end is closed. */
  (void)send(t->fd, &out, sizeof(out), MSG_NOSIGNAL);
  (void)close(t->fd);
  (void)cafe_allocator_default()->resize(t, 0, NULL);
  return NULL;
}

static int start_thread(task *t) {
  pthread_attr_t attributes;
  pthread_t thread;
  sigset_t all, before;
  int status = pthread_attr_init(&attributes);
  if (status != 0) {
    return status;
  }
  /* Signals are for the program's own threads. */
  (void)sigfillset(&all);
  (void)pthread_sigmask(SIG_SETMASK, &all, &before);
  (void)pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  status = pthread_create(&thread, &attributes, lookup_main, t);
  (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
  (void)pthread_attr_destroy(&attributes);
  return status;
}

static void on_outcome(cafe_watch *watch, unsigned events) {
  lookup *l = watch->user;
  endpoint *e = l->endpoint;
  tcp *self = e->tcp;
  outcome out;
  (void)events;
  memset(&out, 0, sizeof(out));
  ptrdiff_t got = recv(watch->fd, &out, sizeof(out), 0);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
    return;
  }
  if (got != (ptrdiff_t)sizeof(out)) {
    out.count = 0;
    (void)snprintf(out.why, sizeof(out.why), "the lookup came to nothing");
  }
  tcp_enter(self);
  lookup_abandon(l);
  endpoint_found(e, out.places, out.count, out.why);
  tcp_leave(self);
}

int lookup_begin(lookup **out, endpoint *e, cafe_err *err) {
  tcp *self = e->tcp;
  int pair[2] = {-1, -1};
  int status = 0;
  task *t = NULL;
  lookup *l = tcp_alloc(self, sizeof(*l));
  if (!l) {
    return tcp_no_memory(err);
  }
  int code = CAFE_OK;
  if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) != 0 || fcntl(pair[0], F_SETFL, O_NONBLOCK) != 0 ||
      fcntl(pair[0], F_SETFD, FD_CLOEXEC) != 0 || fcntl(pair[1], F_SETFD, FD_CLOEXEC) != 0) {
    code = cafe_fail_detail(err, CAFE_UNAVAILABLE, errno, "no lookup can be made: %s", strerror(errno));
    goto fail;
  }
  l->endpoint = e;
  l->watch.fd = pair[0];
  l->watch.ready = on_outcome;
  l->watch.user = l;
  t = cafe_allocator_default()->resize(NULL, sizeof(*t), NULL);
  if (!t) {
    code = tcp_no_memory(err);
    goto fail;
  }
  *t = (task){pair[1], e->address};
  code = self->loop->ops->watch_start(self->loop, &l->watch, CAFE_READABLE, err);
  if (code != CAFE_OK) {
    goto fail;
  }
  status = start_thread(t);
  if (status != 0) {
    self->loop->ops->watch_stop(self->loop, &l->watch);
    code = cafe_fail_detail(err, CAFE_UNAVAILABLE, status, "no thread can be made for a lookup: %s", strerror(status));
    goto fail;
  }
  *out = l;
  return CAFE_OK;

fail:
  (void)cafe_allocator_default()->resize(t, 0, NULL);
  for (int i = 0; i < 2; i++) {
    if (pair[i] >= 0) {
      (void)close(pair[i]);
    }
  }
  tcp_free(self, l);
  return code;
}

void lookup_abandon(lookup *l) {
  if (l) {
    tcp *self = l->endpoint->tcp;
    l->endpoint->lookup = NULL;
    self->loop->ops->watch_stop(self->loop, &l->watch);
    (void)close(l->watch.fd);
    tcp_free(self, l);
  }
}
