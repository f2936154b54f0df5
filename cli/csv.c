/* csv.c: comma-separated values, RFC 4180. */
#include <string.h>

#include "csv.h"

#define BYTE_ORDER_MARK "\xEF\xBB\xBF"

struct csv csv_open(struct arena *arena, const char *bytes, size_t size)
{
	size_t mark = strlen(BYTE_ORDER_MARK);
	bool marked = size >= mark && !memcmp(bytes, BYTE_ORDER_MARK, mark);

	return (struct csv){arena, bytes, size, marked ? mark : 0, 1};
}

/* ---- Lines ---- */

static bool at_break(const struct csv *csv)
{
	return csv->at < csv->size && strchr("\r\n", csv->bytes[csv->at]) &&
	       csv->bytes[csv->at];
}

static void skip_break(struct csv *csv)
{
	bool pair = csv->at + 1 < csv->size && !memcmp(csv->bytes + csv->at, "\r\n", 2);

	csv->at += pair ? 2 : 1;
	csv->line++;
}

static void skip_line(struct csv *csv)
{
	while (csv->at < csv->size && !at_break(csv))
		csv->at++;
}

/* Counts the line breaks between there and here, those in quotes. */
static void count_lines(struct csv *csv, size_t from)
{
	size_t end = csv->at;

	for (csv->at = from; csv->at < end;)
		if (at_break(csv))
			skip_break(csv);
		else
			csv->at++;
}

/* ---- Fields ---- */

static const char *too_long(struct csv *csv)
{
	return arena_printf(csv->arena, "a field is longer than %d bytes", CSV_FIELD);
}

static const char *text_fault(const char *text, size_t size)
{
	size_t step;

	for (size_t i = 0; i < size; i += step) {
		step = text[i] ? utf8_size(text + i, size - i) : 0;
		if (!step)
			return text[i] ? "text that is not UTF-8" : "a NUL character";
	}
	return NULL;
}

static const char *read_bare(struct csv *csv, struct text *field)
{
	size_t start = csv->at;

	while (csv->at < csv->size && csv->bytes[csv->at] != ',' && !at_break(csv)) {
		if (csv->bytes[csv->at] == '"')
			return "a quote within a field that does not begin with one";
		csv->at++;
	}
	if (csv->at - start > CSV_FIELD)
		return too_long(csv);
	field->size = csv->at - start;
	field->bytes = arena_copy(csv->arena, csv->bytes + start, field->size);
	return NULL;
}

static const char *read_quoted(struct csv *csv, struct text *field)
{
	for (csv->at++;; csv->at++) {
		const char *from = csv->bytes + csv->at;
		size_t left = csv->size - csv->at, room = CSV_FIELD - field->size + 1;
		const char *quote = memchr(from, '"', left < room ? left : room);

		if (!quote)
			return left < room ? "a quote that is never closed" : too_long(csv);
		csv->at += (size_t)(quote - from) + 1;
		text_add(field, from, (size_t)(quote - from));
		if (csv->at == csv->size || csv->bytes[csv->at] != '"')
			break;
		text_add(field, "\"", 1);
	}
	if (csv->at < csv->size && csv->bytes[csv->at] != ',' && !at_break(csv))
		return "text between a closing quote and the next comma";
	return NULL;
}

static const char *read_field(struct csv *csv, struct csv_record *record)
{
	struct text field = {.arena = csv->arena};
	bool quoted = csv->at < csv->size && csv->bytes[csv->at] == '"';
	const char *fault;

	if (record->count == CSV_COLUMNS)
		return arena_printf(csv->arena, "more than %d fields", CSV_COLUMNS);
	fault = quoted ? read_quoted(csv, &field) : read_bare(csv, &field);
	if (!fault)
		fault = text_fault(field.bytes, field.size);
	if (!fault)
		record->fields[record->count++] = field.bytes;
	return fault;
}

static bool take_comma(struct csv *csv)
{
	bool comma = csv->at < csv->size && csv->bytes[csv->at] == ',';

	csv->at += comma;
	return comma;
}

bool csv_next(struct csv *csv, struct csv_record *record)
{
	while (at_break(csv))
		skip_break(csv);
	if (csv->at == csv->size)
		return false;

	size_t start = csv->at;

	record->line = csv->line;
	record->count = 0;
	do
		record->fault = read_field(csv, record);
	while (!record->fault && take_comma(csv));
	if (record->fault) {
		csv->at = start;
		skip_line(csv);
	} else {
		count_lines(csv, start);
	}
	if (at_break(csv))
		skip_break(csv);
	return true;
}
