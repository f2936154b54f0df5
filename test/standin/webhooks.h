/* webhooks.h: an event on its way, between events.c, which makes it, and webhooks.c. */
#ifndef WEBHOOKS_H
#define WEBHOOKS_H

#include "standin.h"

#include <curl/curl.h>

struct delivery {
	struct delivery *next;
	struct webhook_options options; /* as they were when the event was made */
	struct subject subject;
	char request_id[ID_SIZE];
	char event[ID_SIZE];
	char type[64];
	char *body;
	int64_t due;
	int attempt; /* how many have begun */
	bool first_over;
	bool in_order; /* only after the one before it was answered */
	bool flying;
	bool forgotten;
	CURL *handle;
	struct curl_slist *headers;
};

/* All locked. */
void deliver(struct delivery *delivery); /* from when it is due */
void release_delivery(struct delivery *delivery);
void clear_held(void);

#endif
