/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SQLITE_FILE_H
#define SQLITE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A SQLite store's files, looked at and damaged from outside. Whatever goes wrong here ends the program: a test whose
 * tools don't work says nothing.
 */

/* Removes the file and everything beside it that is named after it. */
void sqlite_file_remove(const char *path);

/* The file's bytes (free them); NULL: there is none. */
unsigned char *sqlite_file_read(const char *path, size_t *size);
void sqlite_file_write(const char *path, const void *bytes, size_t size);
/* Copies the file and what is beside it: -wal and -lock. */
void sqlite_file_copy(const char *from, const char *to);

/* Turns one bit of the file. */
void sqlite_file_flip(const char *path, size_t offset, unsigned bit);

/* Where in the file these bytes are; SIZE_MAX: nowhere. */
size_t sqlite_file_find(const char *path, const void *bytes, size_t size);

/* Runs SQL on the closed file as another program would, so that it stays readable: the pages' checksums, which such a
 * program doesn't know, are taken off. */
void sqlite_file_exec(const char *path, const char *sql);

#endif
