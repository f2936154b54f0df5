/* util.h: memory, text, time, JSON and tables for the stand-in for Stripe. */
#ifndef UTIL_H
#define UTIL_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PRINTF_LIKE(at, first) __attribute__((format(printf, at, first)))
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define ID_SIZE 48

/* ---- util.c: memory, text, time, digests ---- */

struct text {
	char *bytes; /* always ends in a zero byte once something was added */
	size_t length;
	size_t room;
};

void text_add(struct text *text, const char *bytes, size_t length);
void text_printf(struct text *text, const char *format, ...) PRINTF_LIKE(2, 3);

void *take(size_t size);           /* zeroed; ends the program when there is no memory */
char *copy_text(const char *text); /* NULL for NULL; the caller frees it */
void keep_text(char *to, size_t size, const char *text); /* cut to size; NULL is "" */
bool starts_with(const char *text, const char *prefix);
void new_id(char id[ID_SIZE], const char *prefix, size_t letters);

void lock_state(void);
void unlock_state(void);
void wait_for_change(void); /* locked; lets go of the lock meanwhile */
void state_changed(void);
int64_t now_seconds(void);      /* unix time on the stand-in's own clock */
int64_t now_milliseconds(void); /* for due times; moves with the same clock */
void advance_clock(int64_t seconds);
void pause_for(int64_t milliseconds); /* returns early when the program ends, or all pauses */
void end_pauses(void);
bool stopping(void);
void stop_pauses(void);

void sha256_hex(const char *bytes, size_t length, char hex[65]);
void hmac_hex(const char *secret, const char *bytes, size_t length, char hex[65]);

const char *json_text(const cJSON *object, const char *name); /* NULL if absent or no string */
int64_t json_integer(const cJSON *object, const char *name, int64_t otherwise);
void json_set(cJSON *object, const char *name, cJSON *item);
void json_set_text(cJSON *object, const char *name, const char *text); /* NULL: null */
void json_set_integer(cJSON *object, const char *name, int64_t number);

/* ---- table.c: values by text key, in order of entry ---- */

struct row {
	char *key;
	void *value; /* NULL after table_remove */
};

struct table {
	struct row *rows;
	size_t count;
	size_t room;
	size_t *slots;
	size_t slot_count;
};

void table_put(struct table *table, const char *key, void *value);
void *table_find(const struct table *table, const char *key);
void table_remove(struct table *table, const char *key);
void table_clear(struct table *table, void (*release)(void *));

#endif
