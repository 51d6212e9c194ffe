/* SPDX-License-Identifier: Apache-2.0 */
#include "certificates.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

void certificates_run(const char *format, ...) {
  char text[1000];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof(text), format, args);
  va_end(args);
  if (system(text) != 0) {
    fail_msg("%s", text);
  }
}

void certificates_make_authority(const char *name) {
  certificates_run("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj '/CN=%s' "
                   "-keyout %s.key -out %s.pem 2>>openssl.log",
                   name, name, name);
}

void certificates_make(const char *name, const char *authority, const char *subject, const char *hosts) {
  certificates_run("openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj '%s' -keyout %s.key "
                   "-out %s.csr 2>>openssl.log",
                   subject, name, name);
  certificates_run("printf 'subjectAltName=%s\n' >%s.ext", hosts, name);
  certificates_run("openssl x509 -req -in %s.csr -CA %s.pem -CAkey %s.key -CAcreateserial -days 2 -extfile %s.ext "
                   "-out %s.pem 2>>openssl.log",
                   name, authority, authority, name, name);
}
