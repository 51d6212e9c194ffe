/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The log in memory. Records stand in segments that never move, by position; their bytes in blocks that only grow; each
 * key has its records as a list. The invariant: records 1 to head are whole and linked, and a stream's version is that
 * of its last record. To append changes nothing that a cut can't take back without memory: subjects, streams and names
 * that were made on the way stay, empty, and say nothing.
 */
#include "store/memory_log.h"

#include <string.h>

enum {
  SEGMENT_RECORDS = 1024,
  /* Below the size from which the C library asks the system for each block. */
  BLOCK_SIZE = 64 * 1024
};

typedef struct log_segment {
  log_record *records;
} log_segment;

typedef struct log_block {
  struct log_block *before;
  size_t used;
  size_t size;
  char bytes[];
} log_block;

static void *allocate(const memory_log *log, size_t size) {
  return log->allocator.resize(NULL, size, log->allocator.user);
}

static void release(const memory_log *log, void *memory) {
  if (memory) {
    (void)log->allocator.resize(memory, 0, log->allocator.user);
  }
}

void memory_log_init(memory_log *out, const cafe_allocator *allocator) {
  memset(out, 0, sizeof(*out));
  out->allocator = *allocator;
  sorted_init(&out->subjects, allocator);
}

static void release_subject(const memory_log *log, log_subject *subject) {
  for (log_stream *stream = subject->streams; stream;) {
    log_stream *next = stream->next;
    bool is_own = stream >= subject->own && stream < subject->own + LOG_OWN_STREAMS;
    release(log, is_own ? NULL : stream);
    stream = next;
  }
  release(log, subject);
}

void memory_log_deinit(memory_log *log) {
  sorted_cursor cursor = sorted_seek(&log->subjects, 0, 0);
  for (const sorted_entry *entry; (entry = sorted_next(&cursor));) {
    release_subject(log, entry->value);
  }
  sorted_deinit(&log->subjects);
  for (size_t i = 0; i < log->segment_count; i++) {
    release(log, log->segments[i].records);
  }
  release(log, log->segments);
  for (log_block *block = log->block; block;) {
    log_block *before = block->before;
    release(log, block);
    block = before;
  }
  for (log_name *name = log->names; name;) {
    log_name *next = name->next;
    release(log, name);
    name = next;
  }
}

static log_name *find_name(const memory_log *log, const char *text) {
  log_name *name = log->names;
  while (name && strcmp(name->text, text) != 0) {
    name = name->next;
  }
  return name;
}

/* Names are mostly constants, so the same pointer comes again; that it stands for the same text is checked. */
static log_name *intern(memory_log *log, const char *text) {
  log_name **cached = &log->name_cache[((uintptr_t)text >> 3) % LOG_NAME_CACHE];
  if (*cached && strcmp((*cached)->text, text) == 0) {
    return *cached;
  }
  log_name *name = find_name(log, text);
  if (!name) {
    size_t size = strlen(text) + 1;
    name = allocate(log, sizeof(*name) + size);
    if (!name) {
      return NULL;
    }
    name->wanted = 0;
    memcpy(name->text, text, size);
    name->next = log->names;
    log->names = name;
  }
  *cached = name;
  return name;
}

static log_subject *find_subject(const memory_log *log, uint64_t key) {
  void **found = sorted_find(&log->subjects, key, 0);
  return found ? *found : NULL;
}

static log_record *record_at(const memory_log *log, uint64_t n) {
  return &log->segments[(n - 1) / SEGMENT_RECORDS].records[(n - 1) % SEGMENT_RECORDS];
}

/* Events of one key come together, so mostly it is that of the last one. */
static log_subject *get_subject(memory_log *log, uint64_t key) {
  log_subject *subject = log->head ? record_at(log, log->head)->stream->subject : NULL;
  if (!subject || subject->key != key) {
    subject = find_subject(log, key);
  }
  if (subject) {
    return subject;
  }
  subject = allocate(log, sizeof(*subject));
  if (!subject) {
    return NULL;
  }
  *subject = (log_subject){.key = key};
  if (sorted_add(&log->subjects, key, 0, subject)) {
    release(log, subject);
    return NULL;
  }
  return subject;
}

static log_stream *get_stream(memory_log *log, log_subject *subject, const char *aggregate) {
  const log_name *name = intern(log, aggregate);
  if (!name) {
    return NULL;
  }
  for (log_stream *stream = subject->streams; stream; stream = stream->next) {
    if (stream->aggregate == name) {
      return stream;
    }
  }
  log_stream *stream =
      subject->own_count < LOG_OWN_STREAMS ? &subject->own[subject->own_count++] : allocate(log, sizeof(*stream));
  if (stream) {
    *stream = (log_stream){subject->streams, subject, name, 0};
    subject->streams = stream;
  }
  return stream;
}

/* The place of the next record; NULL: no memory. */
static log_record *next_record(memory_log *log) {
  size_t in = (size_t)(log->head / SEGMENT_RECORDS);
  if (in == log->segment_room) {
    size_t room = log->segment_room ? log->segment_room * 2 : 16;
    log_segment *segments = log->allocator.resize(log->segments, room * sizeof(*segments), log->allocator.user);
    if (!segments) {
      return NULL;
    }
    log->segments = segments;
    log->segment_room = room;
  }
  if (in == log->segment_count) {
    log->segments[in].records = allocate(log, SEGMENT_RECORDS * sizeof(log_record));
    if (!log->segments[in].records) {
      return NULL;
    }
    log->segment_count++;
  }
  return &log->segments[in].records[log->head % SEGMENT_RECORDS];
}

static char *next_bytes(memory_log *log, size_t size) {
  if (!log->block || log->block->size - log->block->used < size) {
    size_t room = size > BLOCK_SIZE - sizeof(log_block) ? size : BLOCK_SIZE - sizeof(log_block);
    log_block *block = allocate(log, sizeof(*block) + room);
    if (!block) {
      return NULL;
    }
    *block = (log_block){log->block, 0, room};
    log->block = block;
  }
  char *bytes = &log->block->bytes[log->block->used];
  log->block->used += size;
  return bytes;
}

/* Makes log->trace a copy of trace. All that one request causes has the same, so mostly it is there. */
static int keep_trace(memory_log *log, cafe_slice trace) {
  if (!cafe_slice_equal(log->trace, trace)) {
    char *copy = next_bytes(log, trace.size);
    if (!copy) {
      return CAFE_NOMEM;
    }
    if (trace.size) {
      memcpy(copy, trace.data, trace.size);
    }
    log->trace = (cafe_slice){copy, trace.size};
  }
  return CAFE_OK;
}

int memory_log_append(memory_log *log, cafe_stored_event *event) {
  log_subject *subject = get_subject(log, event->key);
  log_stream *stream = subject ? get_stream(log, subject, event->aggregate) : NULL;
  if (!stream) {
    return CAFE_NOMEM;
  }
  if (stream->version + 1 != event->version) {
    return CAFE_CONFLICT;
  }
  if (event->trace.size > UINT32_MAX || event->data.size > UINT32_MAX || event->meta.size > UINT32_MAX) {
    return CAFE_NOMEM;
  }
  const log_name *type = intern(log, event->type);
  log_record *record = type ? next_record(log) : NULL;
  if (!record || keep_trace(log, event->trace)) {
    return CAFE_NOMEM;
  }
  char *data = next_bytes(log, event->data.size + event->meta.size);
  if (!data) {
    return CAFE_NOMEM;
  }
  if (event->data.size) {
    memcpy(data, event->data.data, event->data.size);
  }
  if (event->meta.size) {
    memcpy(data + event->data.size, event->meta.data, event->meta.size);
  }
  event->shard = 0;
  event->n = ++log->head;
  *record = (log_record){
      .n = event->n,
      .version = event->version,
      .time_ms = event->time_ms,
      .trace = log->trace.data,
      .data = data,
      .trace_size = (uint32_t)log->trace.size,
      .data_size = (uint32_t)event->data.size,
      .meta_size = (uint32_t)event->meta.size,
      .type = type,
      .stream = stream,
  };
  if (subject->last) {
    subject->last->next = record;
  } else {
    subject->first = record;
  }
  subject->last = record;
  stream->version = event->version;
  return CAFE_OK;
}

log_mark memory_log_mark(const memory_log *log) {
  return (log_mark){log->head, log->block, log->block ? log->block->used : 0};
}

void memory_log_cut(memory_log *log, log_mark mark) {
  for (; log->head > mark.head; log->head--) {
    const log_record *record = record_at(log, log->head);
    log_subject *subject = record->stream->subject;
    record->stream->version = record->version - 1;
    if (subject->first == record) {
      subject->first = subject->last = NULL;
    } else {
      log_record *before = subject->first;
      while (before->next != record) {
        before = before->next;
      }
      before->next = NULL;
      subject->last = before;
    }
  }
  while (log->block != mark.block) {
    log_block *before = log->block->before;
    release(log, log->block);
    log->block = before;
  }
  if (log->block) {
    log->block->used = mark.used;
  }
  log->trace = (cafe_slice){NULL, 0};
}

static int hand_out(const log_record *record, cafe_event_sink on_event, void *user) {
  const cafe_stored_event event = {
      .aggregate = record->stream->aggregate->text,
      .type = record->type->text,
      .key = record->stream->subject->key,
      .version = record->version,
      .time_ms = record->time_ms,
      .trace = {record->trace, record->trace_size},
      .data = {record->data, record->data_size},
      .shard = 0,
      .n = record->n,
      .meta = {record->meta_size ? record->data + record->data_size : NULL, record->meta_size},
  };
  return on_event(&event, user);
}

int memory_log_load(const memory_log *log, uint64_t key, cafe_event_sink on_event, void *user) {
  const log_subject *subject = find_subject(log, key);
  for (const log_record *record = subject ? subject->first : NULL; record; record = record->next) {
    int code = hand_out(record, on_event, user);
    if (code) {
      return code;
    }
  }
  return CAFE_OK;
}

int memory_log_read(memory_log *log, cafe_log_query *query, uint64_t until, cafe_event_sink on_event, void *user,
                    cafe_err *err) {
  if (query->shard != 0) {
    return cafe_fail(err, CAFE_INVALID, "The log has one shard, 0; shard %u was asked for.", (unsigned)query->shard);
  }
  if (query->after > log->head) {
    return cafe_fail(err, CAFE_INVALID,
                     "Position %llu is beyond the log's head, %llu: it is of another log, or of a time that was taken "
                     "back. Read again from the start.",
                     (unsigned long long)query->after, (unsigned long long)log->head);
  }
  uint64_t wanted = ++log->reads;
  for (const char *const *type = query->types; type && *type; type++) {
    log_name *name = find_name(log, *type);
    if (name) {
      name->wanted = wanted;
    }
  }
  query->head = log->head;
  query->scanned = query->after;
  uint64_t last = until < log->head ? until : log->head;
  for (uint32_t found = 0; query->scanned < last && found < query->limit;) {
    const log_record *record = record_at(log, query->scanned + 1);
    if (!query->types || record->type->wanted == wanted) {
      int code = hand_out(record, on_event, user);
      if (code) {
        return code;
      }
      found++;
    }
    query->scanned++;
  }
  return CAFE_OK;
}
