/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CERTIFICATES_H
#define CERTIFICATES_H

#include "cafe/export.h"

/* Certificates for tests, made by the openssl command in the working folder, where openssl.log tells what it said: each
 * is NAME.pem with NAME.key. */

/* Runs a command, which has to succeed. */
void certificates_run(const char *format, ...) CAFE_PRINTF(1, 2);

/* An authority of its own. */
void certificates_make_authority(const char *name);

/* One that the authority has signed, for "/CN=pay" and "IP:127.0.0.1,DNS:localhost". */
void certificates_make(const char *name, const char *authority, const char *subject, const char *hosts);

#endif
