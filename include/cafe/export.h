/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CAFE_EXPORT_H
#define CAFE_EXPORT_H

/* Marks what the library exports. Everything else is hidden. */
#if defined(__GNUC__)
#define CAFE_EXPORT                     __attribute__((visibility("default")))
#define CAFE_PRINTF(format_at, args_at) __attribute__((format(printf, format_at, args_at)))
/* Rarely called: what leads to such a call is laid apart from what runs. */
#define CAFE_COLD __attribute__((cold))
#else
#define CAFE_EXPORT
#define CAFE_PRINTF(format_at, args_at)
#define CAFE_COLD
#endif

#ifdef __cplusplus
#define CAFE_BEGIN_DECLS extern "C" {
#define CAFE_END_DECLS   }
#else
#define CAFE_BEGIN_DECLS
#define CAFE_END_DECLS
#endif

#endif
