/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames: what is written is what an older peer reads, so a field keeps its place, and new ones come at the end.
 *
 * What is read may be anybody's bytes. Everything is read in place by the field tables, which check each length against
 * the bytes left; nothing is reserved here on a peer's word. What a number promises (so many events, a name at that
 * place) is checked before it is used, and what is wrong is refused whole.
 */
#include "transport/tcp_frame.h"

#include <string.h>

#include "schema/codec.h"

#define FIELD(number, kind, member) CAFE_FIELD_OF(number, kind, frame, member)
#define HEAD                        FIELD(1, I64, version), FIELD(2, I64, kind)

static const cafe_field head_fields[] = {HEAD};
static const cafe_field hello_fields[] = {HEAD, FIELD(3, BYTES, services), FIELD(4, U64, max_frame)};
static const cafe_field request_fields[] = {
    HEAD,
    FIELD(3, U64, number),
    FIELD(4, BYTES, service),
    FIELD(5, I64, key),
    FIELD(6, I64, budget_us),
    FIELD(7, U64, retries),
    FIELD(8, BYTES, body),
};
static const cafe_field answer_fields[] = {
    HEAD,
    FIELD(3, U64, number),
    FIELD(4, U64, code),
    FIELD(5, I64, detail),
    FIELD(6, I64, retry_after_ms),
    FIELD(7, BYTES, text),
    FIELD(8, BYTES, body),
};
static const cafe_field number_fields[] = {HEAD, FIELD(3, U64, number)};
static const cafe_field pull_fields[] = {
    HEAD,
    FIELD(3, U64, number),
    FIELD(4, BYTES, service),
    FIELD(5, BYTES, types),
    FIELD(6, I64, partitions),
    FIELD(7, U64, shard),
    FIELD(8, I64, log_id),
    FIELD(9, U64, after),
    FIELD(10, U64, seen),
    FIELD(11, U64, credit),
};
static const cafe_field batch_fields[] = {
    HEAD,
    FIELD(3, U64, number),
    FIELD(4, U64, code),
    FIELD(5, I64, detail),
    FIELD(6, I64, retry_after_ms),
    FIELD(7, BYTES, text),
    FIELD(8, I64, log_id),
    FIELD(9, U64, scanned),
    FIELD(10, U64, head),
    FIELD(11, U64, count),
    FIELD(12, BYTES, names),
    FIELD(13, BYTES, events),
};
static const cafe_field more_fields[] = {HEAD, FIELD(3, U64, number), FIELD(4, U64, credit)};

static const cafe_field event_fields[] = {
    CAFE_FIELD_OF(1, U64, frame_event, n),         CAFE_FIELD_OF(2, U64, frame_event, type),
    CAFE_FIELD_OF(3, U64, frame_event, aggregate), CAFE_FIELD_OF(4, U64, frame_event, key),
    CAFE_FIELD_OF(5, I64, frame_event, version),   CAFE_FIELD_OF(6, TIME, frame_event, time_ms),
    CAFE_FIELD_OF(7, BYTES, frame_event, trace),   CAFE_FIELD_OF(8, BYTES, frame_event, data),
    CAFE_FIELD_OF(9, BYTES, frame_event, meta),
};

static const cafe_schema head_type = CAFE_SCHEMA_OF("frame", frame, head_fields);
const cafe_schema frame_event_type = CAFE_SCHEMA_OF("event", frame_event, event_fields);

static const cafe_schema types[] = {
    [FRAME_HELLO] = CAFE_SCHEMA_OF("hello", frame, hello_fields),
    [FRAME_REQUEST] = CAFE_SCHEMA_OF("request", frame, request_fields),
    [FRAME_ANSWER] = CAFE_SCHEMA_OF("answer", frame, answer_fields),
    [FRAME_CANCEL] = CAFE_SCHEMA_OF("cancel", frame, number_fields),
    [FRAME_PULL] = CAFE_SCHEMA_OF("pull", frame, pull_fields),
    [FRAME_BATCH] = CAFE_SCHEMA_OF("batch", frame, batch_fields),
    [FRAME_MORE] = CAFE_SCHEMA_OF("more", frame, more_fields),
    [FRAME_FORGET] = CAFE_SCHEMA_OF("forget", frame, number_fields),
    [FRAME_PING] = CAFE_SCHEMA_OF("ping", frame, head_fields),
    [FRAME_PONG] = CAFE_SCHEMA_OF("pong", frame, head_fields),
};

const cafe_schema *frame_type(int64_t kind) { return kind >= FRAME_HELLO && kind <= FRAME_PONG ? &types[kind] : NULL; }

/* ---- lengths ---- */

static void put_length(char *to, size_t length) {
  for (int i = 0; i < FRAME_LENGTH; i++) {
    to[i] = (char)(unsigned char)(length >> (8 * (FRAME_LENGTH - 1 - i)));
  }
}

static size_t read_length(const char *from) {
  size_t length = 0;
  for (int i = 0; i < FRAME_LENGTH; i++) {
    length = length << 8 | (unsigned char)from[i];
  }
  return length;
}

/* Writes a length and the value behind what is in the buffer. The longest form that is allowed is `max` bytes. */
static int put_value(buffer *out, const cafe_schema *schema, const void *value, size_t max, cafe_err *err) {
  codec_measure measure = {0, 0, 0};
  int code = codec_check(&measure, schema, value, err);
  if (code != CAFE_OK) {
    return code;
  }
  char *at = buffer_reserve(out, FRAME_LENGTH + measure.encoded_max);
  if (!at) {
    return cafe_fail(err, CAFE_NOMEM, "tcp: no memory for a frame");
  }
  size_t length = (size_t)(codec_pack(at + FRAME_LENGTH, schema, value, &measure) - (at + FRAME_LENGTH));
  if (length > max) {
    return cafe_fail(err, CAFE_INVALID, "tcp: %s has %zu bytes, and the peer takes %zu (max_frame)", schema->name,
                     length, max);
  }
  put_length(at, length);
  buffer_add(out, FRAME_LENGTH + length);
  return CAFE_OK;
}

int frame_put(buffer *out, frame *f, size_t max_frame, cafe_err *err) {
  f->version = FRAME_VERSION;
  return put_value(out, frame_type(f->kind), f, max_frame, err);
}

int frame_cut(cafe_slice *out, cafe_slice bytes, size_t max_frame) {
  if (bytes.size < FRAME_LENGTH) {
    return 0;
  }
  size_t length = read_length(bytes.data);
  if (length == 0 || length > max_frame) {
    return -1;
  }
  *out = (cafe_slice){bytes.data + FRAME_LENGTH, length};
  return bytes.size - FRAME_LENGTH >= length;
}

size_t frame_missing(cafe_slice bytes) {
  size_t size = bytes.size < FRAME_LENGTH ? FRAME_LENGTH : FRAME_LENGTH + read_length(bytes.data);
  return size > bytes.size ? size - bytes.size : 0;
}

int frame_read(frame *out, cafe_slice bytes, cafe_err *err) {
  int code = cafe_schema_decode(out, &head_type, bytes, err);
  if (code != CAFE_OK) {
    return code;
  }
  if (out->version != FRAME_VERSION) {
    return cafe_fail(err, CAFE_UNSUPPORTED, "it speaks version %lld, and this library version %d: upgrade the older",
                     (long long)out->version, FRAME_VERSION);
  }
  const cafe_schema *schema = frame_type(out->kind);
  if (!schema) {
    return cafe_fail(err, CAFE_INVALID, "there is no frame of kind %lld", (long long)out->kind);
  }
  return cafe_schema_decode(out, schema, bytes, err);
}

void frame_set_failure(frame *f, const cafe_err *err) {
  f->code = (uint64_t)err->code;
  f->detail = err->detail;
  f->retry_after_ms = err->retry_after_ms;
  f->text = cafe_text(err->text);
}

bool frame_failure(cafe_err *out, const frame *f) {
  memset(out, 0, sizeof(*out));
  if (f->code > CAFE_DENIED || f->detail < INT32_MIN || f->detail > INT32_MAX || f->retry_after_ms < 0 ||
      f->retry_after_ms > INT32_MAX) {
    return false;
  }
  if (f->code) {
    int size = f->text.size < sizeof(out->text) ? (int)f->text.size : (int)sizeof(out->text);
    (void)cafe_fail_detail(out, (cafe_code)f->code, (int32_t)f->detail, "%.*s", size, size ? f->text.data : "");
    out->retry_after_ms = (int32_t)f->retry_after_ms;
  }
  return true;
}

bool frame_texts(uint32_t *count, cafe_slice texts) {
  *count = 0;
  for (size_t at = 0; at < texts.size;) {
    const char *nul = memchr(texts.data + at, '\0', texts.size - at);
    if (!nul || nul == texts.data + at) {
      return false;
    }
    at = (size_t)(nul - texts.data) + 1;
    ++*count;
  }
  return true;
}

int frame_put_texts(buffer *out, const char *const *texts) {
  buffer_clear(out);
  for (; *texts; texts++) {
    size_t size = strlen(*texts) + 1;
    char *to = buffer_reserve(out, size);
    if (!to) {
      return CAFE_NOMEM;
    }
    memcpy(to, *texts, size);
    buffer_add(out, size);
  }
  return CAFE_OK;
}

/* ---- events of a batch ---- */

/* Where the name is; it is added if it isn't. There are few, mostly one. NULL: no memory. */
static int place_name(uint64_t *out, buffer *names, const char *name) {
  size_t size = strlen(name) + 1;
  for (size_t at = names->begin; at < names->end; at += strlen(names->data + at) + 1) {
    if (strcmp(names->data + at, name) == 0) {
      *out = at - names->begin;
      return CAFE_OK;
    }
  }
  char *to = buffer_reserve(names, size);
  if (!to) {
    return CAFE_NOMEM;
  }
  memcpy(to, name, size);
  *out = buffer_size(names);
  buffer_add(names, size);
  return CAFE_OK;
}

/* Events of one type mostly share its name's memory, so where it stands in the list is found by comparing addresses. */
typedef struct met_name {
  const char *name;
  uint64_t index;
} met_name;
enum { MET_NAMES = 64 };

/* False: it is none of them. */
static bool find_type(uint64_t *index, met_name met[MET_NAMES], const char *const *list, const char *type) {
  met_name *known = &met[(uintptr_t)type / 8 % MET_NAMES];
  if (known->name == type) {
    *index = known->index;
    return true;
  }
  for (*index = 0; list[*index]; ++*index) {
    if (strcmp(list[*index], type) == 0) {
      *known = (met_name){type, *index};
      return true;
    }
  }
  return false;
}

int batch_put(batch_out *out, const cafe_stored_event *list, uint32_t count, cafe_err *err) {
  met_name met[MET_NAMES] = {{NULL, 0}}; /* for as long as the list stays */
  for (uint32_t i = 0; i < count && out->written < BATCH_EVENTS; i++) {
    uint64_t type = 0;
    const cafe_stored_event *event = &list[i];
    frame_event packed = {event->n,     0,           0,          event->key, (int64_t)event->version, event->time_ms,
                          event->trace, event->data, event->meta};
    if (find_type(&type, met, out->types, event->type)) {
      size_t names_before = out->names->end;
      size_t before = out->events->end;
      packed.type = type;
      if (place_name(&packed.aggregate, out->names, event->aggregate) != CAFE_OK) {
        return cafe_fail(err, CAFE_NOMEM, "tcp: no memory for events");
      }
      int code = put_value(out->events, &frame_event_type, &packed, UINT32_MAX, err);
      if (code != CAFE_OK) {
        return code;
      }
      if (buffer_size(out->names) + buffer_size(out->events) > out->room) {
        out->names->end = names_before;
        out->events->end = before;
        break;
      }
      out->written++;
    }
    out->taken++;
    if (buffer_size(out->events) >= BATCH_BYTES) {
      break;
    }
  }
  return CAFE_OK;
}

/* One event off the front. False: it isn't one. */
static bool take_event(frame_event *out, cafe_slice *bytes) {
  cafe_slice one;
  if (frame_cut(&one, *bytes, bytes->size) <= 0 || cafe_schema_decode(out, &frame_event_type, one, NULL) != CAFE_OK) {
    return false;
  }
  size_t size = FRAME_LENGTH + one.size;
  bytes->data += size;
  bytes->size -= size;
  return true;
}

int batch_read(cafe_stored_event *out, const frame *f, const char *const *type_names, uint32_t type_count,
               uint64_t after, uint32_t shard, cafe_err *err) {
  cafe_slice bytes = f->events;
  uint64_t last = after;
  bool has_end = f->names.size == 0 || f->names.data[f->names.size - 1] == '\0';
  if (f->count > BATCH_EVENTS || !has_end || f->scanned < after) {
    return cafe_fail(err, CAFE_INVALID, "a batch's numbers contradict each other");
  }
  for (uint64_t i = 0; i < f->count; i++) {
    frame_event event;
    if (!take_event(&event, &bytes)) {
      return cafe_fail(err, CAFE_INVALID, "a batch's event can't be read");
    }
    if (event.n <= last || event.n > f->scanned || event.type >= type_count || event.aggregate >= f->names.size ||
        (event.aggregate > 0 && f->names.data[event.aggregate - 1] != '\0')) {
      return cafe_fail(err, CAFE_INVALID, "a batch's event has no place in it");
    }
    if (event.key == 0 || event.version <= 0) {
      /* What it has for effect couldn't be written, nor whatever shares the commit. */
      return cafe_fail(err, CAFE_INVALID, "a batch's event has a key or a version that is none");
    }
    last = event.n;
    out[i] = (cafe_stored_event){.aggregate = f->names.data + event.aggregate,
                                 .type = type_names[event.type],
                                 .key = event.key,
                                 .version = (uint64_t)event.version,
                                 .time_ms = event.time_ms,
                                 .trace = event.trace,
                                 .data = event.data,
                                 .shard = shard,
                                 .n = event.n,
                                 .meta = event.meta};
  }
  if (bytes.size > 0) {
    return cafe_fail(err, CAFE_INVALID, "a batch has more bytes than events");
  }
  return CAFE_OK;
}
