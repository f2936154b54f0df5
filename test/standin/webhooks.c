/* webhooks.c: signs events and sends them, from one thread that also settles what is due. */
#include "webhooks.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ATTEMPTS_MAX 60
#define FLIGHTS_MAX 16
#define SEND_SECONDS 10L
#define STALE_SECONDS 301
#define OTHER_SECRET "whsec_of_somebody_else"

static const int64_t delays[] = {200, 500, 1000, 2000, 5000};

static struct delivery *queue;
static struct delivery **queue_end = &queue;
static pthread_t thread;
static CURLM *multi;
static unsigned flights;

void deliver(struct delivery *delivery)
{
	delivery->next = NULL;
	*queue_end = delivery;
	queue_end = &delivery->next;
}

void release_delivery(struct delivery *delivery)
{
	if (delivery->handle) {
		curl_multi_remove_handle(multi, delivery->handle);
		curl_easy_cleanup(delivery->handle);
	}
	curl_slist_free_all(delivery->headers);
	free(delivery->body);
	free(delivery);
}

/* at: where the queue points to it. */
static void take_out(struct delivery **at)
{
	struct delivery *delivery = *at;

	*at = delivery->next;
	if (queue_end == &delivery->next)
		queue_end = at;
	release_delivery(delivery);
}

void clear_webhooks(void)
{
	struct delivery **at = &queue;

	clear_held();
	while (*at) {
		if (!(*at)->flying) {
			take_out(at);
			continue;
		}
		(*at)->forgotten = true;
		at = &(*at)->next;
	}
	state_changed();
}

/* ---- Sending ---- */

static size_t ignore(const void *bytes, size_t size, size_t count, void *nothing)
{
	(void)bytes;
	(void)nothing;
	return size * count;
}

static void add_signature(struct text *header, const char *secret, const char *signed_text,
                          size_t length)
{
	char hex[65];

	hmac_hex(secret, signed_text, length, hex);
	text_printf(header, ",v1=%s", hex);
}

static char *signature(const struct delivery *delivery)
{
	struct text header = {0};
	struct text signed_text = {0};
	int64_t at = (int64_t)time(NULL) - (delivery->options.stale ? STALE_SECONDS : 0);

	text_printf(&signed_text, "%lld.%s", (long long)at, delivery->body);
	text_printf(&header, "Stripe-Signature: t=%lld", (long long)at);
	if (delivery->options.wrong_secret || delivery->options.rotated)
		add_signature(&header, OTHER_SECRET, signed_text.bytes, signed_text.length);
	if (!delivery->options.wrong_secret)
		add_signature(&header, settings.webhook_secret, signed_text.bytes,
		              signed_text.length);
	free(signed_text.bytes);
	return header.bytes;
}

static void take_off(struct delivery *delivery)
{
	char *header = signature(delivery);
	CURL *handle = curl_easy_init();

	delivery->headers = curl_slist_append(NULL, header);
	delivery->headers = curl_slist_append(delivery->headers,
	                                      "Content-Type: application/json; charset=utf-8");
	delivery->headers = curl_slist_append(delivery->headers, "Expect:");
	curl_easy_setopt(handle, CURLOPT_URL, settings.webhook_url);
	curl_easy_setopt(handle, CURLOPT_NOPROXY, "*");
	curl_easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(handle, CURLOPT_TIMEOUT, SEND_SECONDS);
	curl_easy_setopt(handle, CURLOPT_POSTFIELDSIZE, (long)strlen(delivery->body));
	curl_easy_setopt(handle, CURLOPT_POSTFIELDS, delivery->body);
	curl_easy_setopt(handle, CURLOPT_HTTPHEADER, delivery->headers);
	curl_easy_setopt(handle, CURLOPT_USERAGENT, "Stripe/1.0 (stand-in)");
	curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, ignore);
	curl_easy_setopt(handle, CURLOPT_PRIVATE, (char *)delivery);
	curl_multi_add_handle(multi, handle);
	free(header);
	delivery->handle = handle;
	delivery->flying = true;
	delivery->attempt++;
	flights++;
}

/* Starts what is due; milliseconds until the next that is not. */
static int64_t start_due(void)
{
	int64_t now = now_milliseconds();
	int64_t soonest = 60 * 1000;
	bool order_kept = true;

	for (struct delivery *at = queue; at && flights < FLIGHTS_MAX; at = at->next) {
		bool waits = at->in_order && !at->first_over && !order_kept;

		if (at->in_order && !at->first_over)
			order_kept = false;
		if (at->flying || waits)
			continue;
		if (at->due <= now)
			take_off(at);
		else if (at->due - now < soonest)
			soonest = at->due - now;
	}
	return soonest;
}

static void unlink_delivery(struct delivery *delivery)
{
	struct delivery **at = &queue;

	while (*at != delivery)
		at = &(*at)->next;
	take_out(at);
}

/* What was made to be refused is sent once only: to send it again would prove nothing. */
static bool give_up(const struct delivery *delivery, int status)
{
	return delivery->forgotten || (status >= 200 && status < 300) ||
	       delivery->attempt == ATTEMPTS_MAX || delivery->options.stale ||
	       delivery->options.wrong_secret;
}

static void land(struct delivery *delivery, CURLcode result)
{
	long status = 0;
	size_t failures = (size_t)delivery->attempt - 1;

	if (result == CURLE_OK)
		curl_easy_getinfo(delivery->handle, CURLINFO_RESPONSE_CODE, &status);
	flights--;
	delivery->flying = false;
	delivery->first_over = true;
	if (!delivery->forgotten)
		ledger_event(&delivery->subject, delivery->event, delivery->type,
		             delivery->attempt, (int)status);
	if (give_up(delivery, (int)status)) {
		unlink_delivery(delivery);
	} else {
		curl_multi_remove_handle(multi, delivery->handle);
		curl_easy_cleanup(delivery->handle);
		curl_slist_free_all(delivery->headers);
		delivery->handle = NULL;
		delivery->headers = NULL;
		delivery->due = now_milliseconds() +
		                delays[failures < COUNT(delays) ? failures : COUNT(delays) - 1];
	}
	state_changed();
}

/* False: no delivery has ended. */
static bool land_all(void)
{
	bool some = false;
	int left = 0;
	CURLMsg *message = curl_multi_info_read(multi, &left);

	for (; message; message = curl_multi_info_read(multi, &left)) {
		char *delivery = NULL;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &delivery);
		land((struct delivery *)(void *)delivery, message->data.result);
		some = true;
	}
	return some;
}

static void *send_all(void *nothing)
{
	int running = 0;

	while (!stopping()) {
		lock_state();
		int64_t settle = settle_due();
		int64_t next = start_due();
		unlock_state();

		curl_multi_perform(multi, &running);

		lock_state();
		bool landed = land_all();
		unlock_state();

		if (!landed)
			curl_multi_poll(multi, NULL, 0, (int)(settle < next ? settle : next),
			                NULL);
	}
	return nothing;
}

static bool still_first(const char *request_id)
{
	for (const struct delivery *at = queue; at; at = at->next)
		if (!at->first_over && !at->forgotten &&
		    strcmp(at->request_id, request_id) == 0)
			return true;
	return false;
}

void webhooks_wait(const char *request_id)
{
	lock_state();
	while (!stopping() && still_first(request_id))
		wait_for_change();
	unlock_state();
}

void webhooks_wake(void)
{
	curl_multi_wakeup(multi);
}

void webhooks_start(void)
{
	curl_global_init(CURL_GLOBAL_DEFAULT);
	multi = curl_multi_init();
	pthread_create(&thread, NULL, send_all, NULL);
}

void webhooks_stop(void)
{
	webhooks_wake();
	pthread_join(thread, NULL);
	lock_state();
	for (struct delivery *at = queue; at; at = at->next)
		at->flying = false;
	clear_webhooks();
	unlock_state();
	curl_multi_cleanup(multi);
	curl_global_cleanup();
}
