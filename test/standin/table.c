/* table.c: values by text key, in order of entry. */
#include "standin.h"

#include <stdlib.h>
#include <string.h>

static size_t hash_text(const char *text)
{
	uint64_t hash = 14695981039346656037u;

	for (; *text; text++)
		hash = (hash ^ (unsigned char)*text) * 1099511628211u;
	return (size_t)hash;
}

/* The slot of the key, or the free one where it belongs. A slot holds a row's number + 1. */
static size_t find_slot(const struct table *table, const char *key)
{
	size_t slot = hash_text(key) % table->slot_count;

	while (table->slots[slot] && strcmp(table->rows[table->slots[slot] - 1].key, key) != 0)
		slot = (slot + 1) % table->slot_count;
	return slot;
}

static void grow(struct table *table)
{
	size_t room = table->room ? table->room * 2 : 64;
	struct row *rows = take(room * sizeof(*rows));

	if (table->count)
		memcpy(rows, table->rows, table->count * sizeof(*rows));
	free(table->rows);
	free(table->slots);
	table->rows = rows;
	table->room = room;
	table->slot_count = room * 2;
	table->slots = take(table->slot_count * sizeof(*table->slots));
	for (size_t i = 0; i < table->count; i++)
		table->slots[find_slot(table, rows[i].key)] = i + 1;
}

void table_put(struct table *table, const char *key, void *value)
{
	if (table->count == table->room)
		grow(table);

	size_t slot = find_slot(table, key);

	if (!table->slots[slot]) {
		table->rows[table->count++].key = copy_text(key);
		table->slots[slot] = table->count;
	}
	table->rows[table->slots[slot] - 1].value = value;
}

void *table_find(const struct table *table, const char *key)
{
	if (!key || !table->count)
		return NULL;

	size_t slot = find_slot(table, key);

	return table->slots[slot] ? table->rows[table->slots[slot] - 1].value : NULL;
}

void table_remove(struct table *table, const char *key)
{
	if (table_find(table, key))
		table_put(table, key, NULL);
}

void table_clear(struct table *table, void (*release)(void *))
{
	for (size_t i = 0; i < table->count; i++) {
		free(table->rows[i].key);
		if (table->rows[i].value && release)
			release(table->rows[i].value);
	}
	free(table->rows);
	free(table->slots);
	*table = (struct table){0};
}
