/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_REMEDY_H
#define BASE_REMEDY_H

#include <errno.h>

/* What to do about a file that the system refuses with this errno: the end of a message. */
static inline const char *remedy_of_file(int cause) {
  switch (cause) {
  case EACCES:
  case EPERM:
  case EROFS:
    return "make it and its folder writable for this user";
  case EISDIR:
    return "it is a folder: name a file";
  case ENOENT:
  case ENOTDIR:
    return "make its folder";
  case ENOSPC:
  case EDQUOT:
    return "free some space on the disk";
  case EMFILE:
  case ENFILE:
    return "allow more open files";
  default:
    return "check the disk";
  }
}

#endif
