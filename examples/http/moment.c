/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Moments as text. mktime and timegm mend what they are given (February 30th becomes March 2nd); a customer who wrote
 * it meant something else, so a time that comes back changed is refused.
 */
#include "http/moment.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

int moment_set_zone(const char *zone, cafe_err *err) {
  /* Korea has no summer time, so the default works on machines without a time zone database too. */
  const char *rule = strcmp(zone, "Asia/Seoul") == 0 ? "KST-9" : strcmp(zone, "UTC") == 0 ? "UTC0" : NULL;
  if (!rule) {
    /* The C library takes an unknown zone for UTC, silently. */
    char path[512];
    int size = snprintf(path, sizeof path, "/usr/share/zoneinfo/%s", zone);
    if (size < 0 || (size_t)size >= sizeof path || !*zone || *zone == '/' || strstr(zone, "..") ||
        access(path, R_OK) != 0) {
      return cafe_fail(err, CAFE_INVALID, "the time zone %s is unknown here; install tzdata, or name another", zone);
    }
    rule = zone;
  }
  if (setenv("TZ", rule, 1) != 0) {
    return cafe_fail(err, CAFE_NOMEM, "no memory to set the time zone");
  }
  tzset();
  return CAFE_OK;
}

void moment_format(char out[MOMENT_MAX], int64_t ms) {
  int64_t rest = ms % 1000;
  if (rest < 0) {
    rest += 1000;
  }
  time_t seconds = (time_t)((ms - rest) / 1000);
  struct tm tm = {0};
  (void)gmtime_r(&seconds, &tm);
  (void)snprintf(out, MOMENT_MAX, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", (tm.tm_year + 1900) % 10000, tm.tm_mon + 1,
                 tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int)rest);
}

/* Reads `digits` digits from *at on. */
static bool number(int *out, const char **at, const char *end, int digits) {
  int value = 0;
  for (int i = 0; i < digits; i++, (*at)++) {
    if (*at == end || **at < '0' || **at > '9') {
      return false;
    }
    value = value * 10 + (**at - '0');
  }
  *out = value;
  return true;
}

static bool skip(const char **at, const char *end, const char *any_of) {
  if (*at == end || !**at || !strchr(any_of, **at)) {
    return false;
  }
  (*at)++;
  return true;
}

static bool same(const struct tm *a, const struct tm *b) {
  return a->tm_year == b->tm_year && a->tm_mon == b->tm_mon && a->tm_mday == b->tm_mday && a->tm_hour == b->tm_hour &&
         a->tm_min == b->tm_min && a->tm_sec == b->tm_sec;
}

static bool local(int64_t *out_ms, struct tm *tm) {
  struct tm given = *tm;
  tm->tm_isdst = -1;
  time_t seconds = mktime(tm);
  *out_ms = (int64_t)seconds * 1000;
  return same(&given, tm);
}

bool moment_parse(int64_t *out_ms, cafe_slice text) {
  const char *at = text.data;
  const char *end = text.data + text.size;
  struct tm tm = {0};
  bool is_plain = text.size == 14;
  bool ok = number(&tm.tm_year, &at, end, 4) && (is_plain || skip(&at, end, "-")) && number(&tm.tm_mon, &at, end, 2) &&
            (is_plain || skip(&at, end, "-")) && number(&tm.tm_mday, &at, end, 2) &&
            (is_plain || skip(&at, end, "Tt ")) && number(&tm.tm_hour, &at, end, 2) &&
            (is_plain || skip(&at, end, ":")) && number(&tm.tm_min, &at, end, 2) && (is_plain || skip(&at, end, ":")) &&
            number(&tm.tm_sec, &at, end, 2);
  if (!ok) {
    return false;
  }
  tm.tm_year -= 1900;
  tm.tm_mon -= 1;
  if (is_plain) {
    return local(out_ms, &tm);
  }

  int64_t fraction_ms = 0;
  if (skip(&at, end, ".")) {
    int digit;
    int64_t weight = 100;
    if (at == end || *at < '0' || *at > '9') {
      return false;
    }
    while (number(&digit, &at, end, 1)) {
      fraction_ms += digit * weight;
      weight /= 10;
    }
  }
  int64_t offset_minutes = 0;
  if (!skip(&at, end, "Zz")) {
    bool is_west = at < end && *at == '-';
    int hours;
    int minutes;
    if (!skip(&at, end, "+-") || !number(&hours, &at, end, 2) || !skip(&at, end, ":") ||
        !number(&minutes, &at, end, 2) || hours > 23 || minutes > 59) {
      return false;
    }
    offset_minutes = (is_west ? -1 : 1) * ((int64_t)hours * 60 + minutes);
  }
  struct tm given = tm;
  time_t seconds = timegm(&tm);
  *out_ms = ((int64_t)seconds - offset_minutes * 60) * 1000 + fraction_ms;
  return at == end && same(&given, &tm);
}
