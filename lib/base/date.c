/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A moment as text, by arithmetic alone: the C library's calendar has static memory and a time zone. The days are
 * counted in eras of 400 years that begin on 1 March, so that a leap day is the last of its year (Hinnant,
 * "chrono-Compatible Low-Level Date Algorithms").
 */
#include "base/date.h"

#include <inttypes.h>
#include <stdio.h>

void date_format(char out[DATE_TEXT_MAX], int64_t time_ms) {
  const int64_t day_ms = 86400000;
  int64_t days = time_ms / day_ms;
  int64_t ms = time_ms % day_ms;
  if (ms < 0) {
    ms += day_ms;
    days--;
  }
  int64_t z = days + 719468; /* from 0000-03-01 to 1970-01-01 */
  int64_t era = (z >= 0 ? z : z - 146096) / 146097;
  int64_t day_of_era = z - era * 146097;
  int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
  int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  int64_t month_from_march = (5 * day_of_year + 2) / 153;
  int64_t day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
  int64_t month = month_from_march < 10 ? month_from_march + 3 : month_from_march - 9;
  int64_t year = year_of_era + era * 400 + (month <= 2);
  snprintf(out, DATE_TEXT_MAX, "%04" PRId64 "-%02d-%02dT%02d:%02d:%02d.%03dZ", year, (int)month, (int)day,
           (int)(ms / 3600000), (int)(ms / 60000 % 60), (int)(ms / 1000 % 60), (int)(ms % 1000));
}
