/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HTTP_BUFFER_H
#define HTTP_BUFFER_H

#include "cafe/types.h"

/* Bytes that grow. Zeroed is empty. A failure to grow is kept, so that it is asked for once, at the end. */
typedef struct buffer {
  char *data; /* malloc's */
  size_t size;
  size_t capacity;
  bool failed; /* memory was refused: what was added since is missing */
} buffer;

void buffer_add(buffer *out, const char *bytes, size_t size);
void buffer_text(buffer *out, const char *text);
void buffer_format(buffer *out, const char *format, ...) CAFE_PRINTF(2, 3);
void buffer_reset(buffer *out); /* empty again, memory freed */

#endif
