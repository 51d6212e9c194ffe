/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Options. A value is either understood whole or refused with the option's name: a server that starts with another
 * setting than the one it was given is worse than one that doesn't start.
 */
#include "http/options.h"

#include "cafe/version.h"

#include <stdio.h>
#include <stdlib.h>

enum { DURATION_MAX_MS = 86400000, NUMBER_MAX = 1000000 };
#define ON  "1"
#define OFF "0"

const option *option_find(const option *table, const char *name) {
  for (; table->name; table++) {
    if (strcmp(table->name, name) == 0) {
      return table;
    }
  }
  return NULL;
}

const char *option_value(const option *table, const char *name) {
  const option *found = option_find(table, name);
  return found && found->count ? found->values[found->count - 1] : NULL;
}

const char *option_given_as(const option *table, const char *name) { return option_find(table, name)->given_as; }

static void variable_name(char out[64], const char *name) {
  size_t at = (size_t)snprintf(out, 64, "CAFE_%s", name);
  for (size_t i = 5; i < at; i++) {
    out[i] = (char)(out[i] == '-' ? '_' : out[i] >= 'a' && out[i] <= 'z' ? out[i] - 'a' + 'A' : out[i]);
  }
}

static void print_help(const option *table, const char *program, const char *summary) {
  printf("%s [OPTION...]\n%s\n\n", program, summary);
  for (; table->name; table++) {
    char flag[64];
    (void)snprintf(flag, sizeof flag, "--%s %s", table->name, table->argument ? table->argument : "");
    printf("  %-34s %s", flag, table->help);
    printf(table->fallback ? " (%s)\n" : "\n", table->fallback);
  }
  printf("  %-34s %s\n  %-34s %s\n\n", "--help", "print this", "--version", "print the version");
  printf(
      "Durations are seconds, or 500ms, 30s. --some-option is CAFE_SOME_OPTION in the environment; the flag wins.\n");
}

static int add_value(option *self, const char *value, cafe_err *err) {
  if (!self->is_repeatable) {
    self->count = 0;
  }
  if (self->count == OPTION_VALUES_MAX) {
    return cafe_fail(err, CAFE_INVALID, "%s...: it is given more than %d times", self->given_as, OPTION_VALUES_MAX);
  }
  self->values[self->count++] = value;
  return CAFE_OK;
}

static int read_variable(option *self, cafe_err *err) {
  char name[64];
  variable_name(name, self->name);
  const char *value = getenv(name);
  if (!value || !*value) {
    return CAFE_OK;
  }
  (void)snprintf(self->given_as, sizeof self->given_as, "%s=", name);
  if (!self->is_repeatable) {
    return add_value(self, value, err);
  }
  char *copy = strdup(value);
  char *rest = NULL;
  if (!copy) {
    return cafe_fail(err, CAFE_NOMEM, "no memory for the options");
  }
  int code = CAFE_OK;
  for (char *word = strtok_r(copy, " ", &rest); word && code == CAFE_OK; word = strtok_r(NULL, " ", &rest)) {
    code = add_value(self, word, err);
  }
  return code;
}

static option *find_flag(option *table, const char *flag, const char **value) {
  for (; table->name; table++) {
    size_t size = strlen(table->name);
    if (strncmp(flag, table->name, size) == 0 && (flag[size] == '\0' || flag[size] == '=')) {
      *value = flag[size] == '=' ? flag + size + 1 : NULL;
      return table;
    }
  }
  return NULL;
}

static int read_flags(option *table, int argc, char **argv, const char *summary, cafe_err *err) {
  for (int i = 1; i < argc; i++) {
    const char *value = NULL;
    if (strcmp(argv[i], "--help") == 0) {
      print_help(table, argv[0], summary);
      exit(0);
    }
    if (strcmp(argv[i], "--version") == 0) {
      printf("cafe %s\n", cafe_version());
      exit(0);
    }
    option *found = strncmp(argv[i], "--", 2) == 0 ? find_flag(table, argv[i] + 2, &value) : NULL;
    if (!found) {
      return cafe_fail(err, CAFE_INVALID, "unknown option %s; --help names them", argv[i]);
    }
    if (!value && !found->argument) {
      value = ON;
    }
    if (!value && i + 1 == argc) {
      return cafe_fail(err, CAFE_INVALID, "--%s needs a value", found->name);
    }
    int code = add_value(found, value ? value : argv[++i], err);
    if (code != CAFE_OK) {
      return code;
    }
  }
  return CAFE_OK;
}

int options_read(option *table, int argc, char **argv, const char *summary, cafe_err *err) {
  for (option *each = table; each->name; each++) {
    (void)snprintf(each->given_as, sizeof each->given_as, "--%s%s", each->name, each->argument ? " " : "=");
  }
  int code = read_flags(table, argc, argv, summary, err);
  for (; table->name && code == CAFE_OK; table++) {
    if (table->count == 0) {
      code = read_variable(table, err);
    }
    table->is_given = table->count > 0;
    if (code == CAFE_OK && table->count == 0 && table->fallback) {
      code = add_value(table, table->fallback, err);
    }
  }
  return code;
}

int option_duration(int64_t *out_ms, const option *table, const char *name, cafe_err *err) {
  const char *text = option_value(table, name);
  const char *at = text;
  int64_t number = 0;
  for (; *at >= '0' && *at <= '9' && number <= DURATION_MAX_MS; at++) {
    number = number * 10 + (*at - '0');
  }
  int64_t unit = strcmp(at, "ms") == 0 ? 1 : strcmp(at, "s") == 0 || !*at ? 1000 : 0;
  if (at == text || unit == 0 || number == 0 || number > DURATION_MAX_MS / unit) {
    return cafe_fail(err, CAFE_INVALID, "%s%s: a duration is seconds, or 500ms, 30s; from 1ms to 86400",
                     option_given_as(table, name), text);
  }
  *out_ms = number * unit;
  return CAFE_OK;
}

int option_number(uint32_t *out, const option *table, const char *name, cafe_err *err) {
  const char *text = option_value(table, name);
  const char *at = text;
  uint32_t number = 0;
  for (; *at >= '0' && *at <= '9' && number <= NUMBER_MAX; at++) {
    number = number * 10 + (uint32_t)(*at - '0');
  }
  if (at == text || *at || number > NUMBER_MAX) {
    return cafe_fail(err, CAFE_INVALID, "%s%s: a whole number from 0 to %d is needed", option_given_as(table, name),
                     text, NUMBER_MAX);
  }
  *out = number;
  return CAFE_OK;
}

int option_switch(bool *out, const option *table, const char *name, cafe_err *err) {
  const char *text = option_value(table, name);
  *out = text && strcmp(text, ON) == 0;
  return !text || *out || strcmp(text, OFF) == 0
             ? CAFE_OK
             : cafe_fail(err, CAFE_INVALID, "%s%s: it has no value, or is 1 or 0", option_given_as(table, name), text);
}

/* HOST:PORT. host is the caller's. */
static bool read_address(char *host, size_t host_size, int *port, const char *text, int max) {
  const char *colon = strrchr(text, ':');
  const char *start = text;
  const char *end = colon;
  if (colon && *text == '[' && colon > text && colon[-1] == ']') {
    start = text + 1;
    end = colon - 1;
  }
  const char *at = colon ? colon + 1 : "";
  int number = 0;
  for (; *at >= '0' && *at <= '9' && number <= max; at++) {
    number = number * 10 + (*at - '0');
  }
  if (!colon || *at || at == colon + 1 || number > max || end == start || (size_t)(end - start) >= host_size) {
    return false;
  }
  memcpy(host, start, (size_t)(end - start));
  host[end - start] = '\0';
  *port = number;
  return true;
}

int option_address(char *host, size_t host_size, int *port, const option *table, const char *name, int max,
                   cafe_err *err) {
  const char *text = option_value(table, name);
  return read_address(host, host_size, port, text, max)
             ? CAFE_OK
             : cafe_fail(err, CAFE_INVALID, "%s%s: an address is HOST:PORT, the port at most %d",
                         option_given_as(table, name), text, max);
}

static const char tcp[] = "tcp://";

int option_node(char *host, size_t host_size, int *port, const option *table, const char *name, cafe_err *err) {
  const char *text = option_value(table, name);
  bool is_good =
      strncmp(text, tcp, strlen(tcp)) == 0 && read_address(host, host_size, port, text + strlen(tcp), OPTION_PORT_MAX);
  return is_good ? CAFE_OK
                 : cafe_fail(err, CAFE_INVALID, "%s%s: a node's address is tcp://HOST:PORT",
                             option_given_as(table, name), text);
}

/* Where its address begins; NULL: it is no peer. */
static const char *peer_address(const char *text) {
  static const char *const names[] = {"app", "pay", "store", "customer", "dashboard"};
  const char *url = strchr(text, '=');
  char host[256];
  int port;
  bool is_known = false;
  for (size_t i = 0; url && i < sizeof names / sizeof names[0]; i++) {
    is_known = is_known || cafe_slice_equal((cafe_slice){text, (size_t)(url - text)}, cafe_text(names[i]));
  }
  bool is_good = is_known && strncmp(url + 1, tcp, strlen(tcp)) == 0 &&
                 read_address(host, sizeof host, &port, url + 1 + strlen(tcp), OPTION_PORT_MAX) && port > 0;
  return is_good ? url + 1 + strlen(tcp) : NULL;
}

int option_peers(const option *table, const char *name, cafe_err *err) {
  const option *peers = option_find(table, name);
  for (uint32_t i = 0; i < peers->count; i++) {
    const char *text = peers->values[i];
    if (!peer_address(text)) {
      return cafe_fail(err, CAFE_INVALID,
                       "%s%s: a peer is NAME=tcp://HOST:PORT, NAME is app, pay, store, customer or dashboard",
                       peers->given_as, text);
    }
    size_t size = strcspn(text, "=") + 1;
    for (uint32_t other = 0; other < i; other++) {
      if (strncmp(peers->values[other], text, size) == 0) {
        return cafe_fail(err, CAFE_INVALID, "%s%.*s is given twice", peers->given_as, (int)size - 1, text);
      }
    }
  }
  return CAFE_OK;
}

const char *option_peer(const option *table, const char *name, const char *peer) {
  const option *peers = option_find(table, name);
  size_t size = strlen(peer);
  for (uint32_t i = 0; i < peers->count; i++) {
    if (strncmp(peers->values[i], peer, size) == 0 && peers->values[i][size] == '=') {
      return peer_address(peers->values[i]);
    }
  }
  return NULL;
}

int option_log_level(cafe_log_level *out, const option *table, const char *name, cafe_err *err) {
  static const char *const names[] = {"error", "warn", "info", "debug"};
  const char *text = option_value(table, name);
  for (int i = 0; i < 4; i++) {
    if (strcmp(text, names[i]) == 0) {
      *out = (cafe_log_level)(CAFE_LOG_ERROR + i);
      return CAFE_OK;
    }
  }
  return cafe_fail(err, CAFE_INVALID, "%s%s: a level is error, warn, info or debug", option_given_as(table, name),
                   text);
}
