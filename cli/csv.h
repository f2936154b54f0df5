/* csv.h: comma-separated values, RFC 4180. */
#ifndef CSV_H
#define CSV_H

#include "internal.h"

#define CSV_COLUMNS 256        /* fields of a record */
#define CSV_FIELD (128 * 1024) /* bytes of a field */

struct csv {
	struct arena *arena;
	const char *bytes;
	size_t size, at;
	long line;
};

struct csv_record {
	long line; /* where it begins; a field may hold line breaks */
	size_t count;
	const char *fields[CSV_COLUMNS]; /* without their quotes */
	const char *fault;               /* NULL, or why it ends behind its `count` fields */
};

/* Reads bytes, which must stay: UTF-8, maybe with a byte order mark; lines end with LF, CRLF or
 * CR. */
struct csv csv_open(struct arena *arena, const char *bytes, size_t size);

/* The next record that is not an empty line; false at the end.  After a faulty record reading
 * goes on with the line below its first, so that a stray quote does not swallow what follows.
 */
bool csv_next(struct csv *csv, struct csv_record *record);

#endif
