/* util.c: memory, text, the clock, the lock and digests. */
#include "standin.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

static pthread_mutex_t state_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t change = PTHREAD_COND_INITIALIZER;
static pthread_mutex_t pause_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t pause_end = PTHREAD_COND_INITIALIZER;
static unsigned pauses_ended; /* how often all were */
static bool ending;
static _Atomic(int64_t) clock_offset;

void *take(size_t size)
{
	void *memory = calloc(1, size ? size : 1);

	if (!memory) {
		fputs("could not go on: out of memory\n", stderr);
		abort();
	}
	return memory;
}

char *copy_text(const char *text)
{
	if (!text)
		return NULL;

	size_t length = strlen(text);
	char *copy = take(length + 1);

	memcpy(copy, text, length + 1);
	return copy;
}

void keep_text(char *to, size_t size, const char *text)
{
	if (to != text)
		snprintf(to, size, "%s", text ? text : "");
}

bool starts_with(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

void text_add(struct text *text, const char *bytes, size_t length)
{
	if (text->length + length + 1 > text->room) {
		size_t room = (text->length + length + 1) * 2;
		char *grown = realloc(text->bytes, room);

		if (!grown) {
			fputs("could not go on: out of memory\n", stderr);
			abort();
		}
		text->bytes = grown;
		text->room = room;
	}
	if (length)
		memcpy(text->bytes + text->length, bytes, length);
	text->length += length;
	text->bytes[text->length] = '\0';
}

void text_printf(struct text *text, const char *format, ...)
{
	va_list values;
	char *made = NULL;

	va_start(values, format);
	int length = vasprintf(&made, format, values);
	va_end(values);
	if (length < 0) {
		fputs("could not go on: out of memory\n", stderr);
		abort();
	}
	text_add(text, made, (size_t)length);
	free(made);
}

void new_id(char id[ID_SIZE], const char *prefix, size_t letters)
{
	static const char alphabet[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
	unsigned char random[32];
	size_t length = strlen(prefix);

	if (letters > sizeof(random) || length + letters >= ID_SIZE ||
	    getrandom(random, letters, 0) != (ssize_t)letters) {
		fputs("could not make an id: no randomness\n", stderr);
		abort();
	}
	memcpy(id, prefix, length);
	for (size_t i = 0; i < letters; i++)
		id[length + i] = alphabet[random[i] % (sizeof(alphabet) - 1)];
	id[length + letters] = '\0';
}

void lock_state(void)
{
	pthread_mutex_lock(&state_lock);
}

void unlock_state(void)
{
	pthread_mutex_unlock(&state_lock);
}

/* Waits 50 ms at most, so that the end of the program is noticed. */
void wait_for_change(void)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += 50 * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	pthread_cond_timedwait(&change, &state_lock, &until);
}

void state_changed(void)
{
	pthread_cond_broadcast(&change);
}

int64_t now_seconds(void)
{
	return (int64_t)time(NULL) + atomic_load(&clock_offset);
}

int64_t now_milliseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000 +
	       atomic_load(&clock_offset) * 1000;
}

void advance_clock(int64_t seconds)
{
	atomic_fetch_add(&clock_offset, seconds);
}

bool stopping(void)
{
	pthread_mutex_lock(&pause_lock);
	bool answer = ending;
	pthread_mutex_unlock(&pause_lock);
	return answer;
}

void stop_pauses(void)
{
	pthread_mutex_lock(&pause_lock);
	ending = true;
	pthread_cond_broadcast(&pause_end);
	pthread_mutex_unlock(&pause_lock);
}

void end_pauses(void)
{
	pthread_mutex_lock(&pause_lock);
	pauses_ended++;
	pthread_cond_broadcast(&pause_end);
	pthread_mutex_unlock(&pause_lock);
}

void pause_for(int64_t milliseconds)
{
	struct timespec until;
	unsigned before;

	if (milliseconds <= 0)
		return;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += milliseconds / 1000;
	until.tv_nsec += milliseconds % 1000 * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	pthread_mutex_lock(&pause_lock);
	before = pauses_ended;
	while (!ending && pauses_ended == before &&
	       pthread_cond_timedwait(&pause_end, &pause_lock, &until) != ETIMEDOUT)
		continue;
	pthread_mutex_unlock(&pause_lock);
}

static void to_hex(const unsigned char digest[32], char hex[65])
{
	for (size_t i = 0; i < 32; i++)
		snprintf(hex + 2 * i, 3, "%02x", (unsigned)digest[i]);
}

void sha256_hex(const char *bytes, size_t length, char hex[65])
{
	unsigned char digest[EVP_MAX_MD_SIZE];

	EVP_Digest(bytes, length, digest, NULL, EVP_sha256(), NULL);
	to_hex(digest, hex);
}

void hmac_hex(const char *secret, const char *bytes, size_t length, char hex[65])
{
	unsigned char digest[EVP_MAX_MD_SIZE];

	HMAC(EVP_sha256(), secret, (int)strlen(secret), (const unsigned char *)bytes, length,
	     digest, NULL);
	to_hex(digest, hex);
}
