/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SERVER_PAYMENT_OPTIONS_H
#define SERVER_PAYMENT_OPTIONS_H

#include "cafe/shop.h"
#include "http/options.h"

/* Payment under load, by a server's options: the guard that app has before it. */
#define GUARD_OPTIONS                                                                                                  \
  {.name = "breaker-volume",                                                                                           \
   .argument = "N",                                                                                                    \
   .fallback = "20",                                                                                                   \
   .help = "payments in the window, below which its breaker stays closed"},                                            \
      {.name = "breaker-error-rate",                                                                                   \
       .argument = "RATE",                                                                                             \
       .fallback = "0.3",                                                                                              \
       .help = "of them that failed, at which it opens; up to 1"},                                                     \
      {.name = "breaker-window", .argument = "DURATION", .fallback = "10s", .help = "in which they are counted"},      \
      {.name = "breaker-sleep", .argument = "DURATION", .fallback = "5s", .help = "until one is tried again"},         \
      CONCURRENCY_OPTION

/* The bulkhead that pay has, and the most that app asks for. */
#define CONCURRENCY_OPTION                                                                                             \
  {                                                                                                                    \
    .name = "payment-concurrency", .argument = "N", .fallback = "64",                                                  \
    .help = "payments at once, at most; how many are borne is found out"                                               \
  }

/* Fill the fields of *out that these options are about. CAFE_INVALID names the option. */
int guard_options_read(cafe_shop_options *out, const option *options, cafe_err *err);
int concurrency_option_read(cafe_shop_options *out, const option *options, cafe_err *err);

#endif
