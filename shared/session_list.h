/* session_list.h: the list of ended sessions, which the workers of a service share. */
#ifndef ARNOVA_SESSION_LIST_H
#define ARNOVA_SESSION_LIST_H

#include "internal.h"

#define SESSION_LIST_LAYOUT "arnova 1"
#define LIMIT_ENDED 60000 /* sessions in a list: twice what users tells at once */
#define LIMIT_SINCE 40    /* bytes of a time */

struct session {
	unsigned char digest[16]; /* of the family's name */
};

/* As it lies in the file.  Times are milliseconds since the machine's start; 0 is never. */
struct session_list {
	unsigned char digest[SHA256_SIZE]; /* of the rest */
	char layout[sizeof(SESSION_LIST_LAYOUT)];
	char boot[40];
	char since[LIMIT_SINCE]; /* what to ask users for next */
	int64_t asked, whole;    /* when users was asked; whole: for everything */
	int64_t until;           /* no token issued until then is believed; Unix seconds */
	uint64_t count;
	struct session ended[]; /* sorted */
};

/* The path is configured by sessions_configure(). */

/* A copy with room for more sessions, or an empty list; NULL: it would be too long. */
struct session_list *session_list_copy(const struct session_list *base, size_t more);
void session_list_add(struct session_list *list, const char *family);
bool session_list_has(const struct session_list *list, const char *family);

/* The list in the file where it is younger than the one that is known, else that one. */
struct session_list *session_list_load(struct arena *arena, struct session_list *known);
/* Sorts the list and puts it in the file's place. */
void session_list_keep(struct arena *arena, struct session_list *list);

/* Whether nobody else has the lock.  It ends with the process, too. */
bool session_lock(struct arena *arena);
void session_unlock(void);

/* When users last failed to answer one of the workers. */
int64_t session_failure(void);
void session_record_failure(struct arena *arena, int64_t at);

#endif
