/* stripe.c: calls to Stripe's API. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "parts.h"

#define STRIPE_VERSION "2026-07-29.dahlia"

enum {
	BUDGET_MS = 20000, /* of all tries of a call together */
	RESERVE_MS = 2000, /* kept back of the request's deadline, to record what came */
	BACKOFF_MS = 300,  /* doubled for each further try */
	TRIES = 4,
	KEY_MIN = 16,
	SECRET_MIN = 32,
	PAGES_MAX = 50, /* of a list, 100 objects each */
};

static const char *base_url(void)
{
	return setting("STRIPE_API_BASE", "https://api.stripe.com");
}

/* Without slashes at its end. */
static int base_size(void)
{
	size_t size = strlen(base_url());

	while (size && base_url()[size - 1] == '/')
		size--;
	return (int)size;
}

static const char *secret_key(void)
{
	return setting("STRIPE_SECRET_KEY", "");
}

bool is_loopback(const char *url)
{
	static const char *const hosts[] = {"http://127.0.0.1", "http://localhost",
	                                    "http://[::1]"};

	for (size_t i = 0; i < COUNT(hosts); i++) {
		size_t size = strlen(hosts[i]);

		if (!strncmp(url, hosts[i], size) && (!url[size] || strchr(":/", url[size])))
			return !strchr(url, '@');
	}
	return false;
}

static bool has_weak_secret(const char *secrets)
{
	while (*secrets) {
		size_t size = strcspn(secrets, ",");

		if (size < SECRET_MIN)
			return true;
		secrets += size + (secrets[size] == ',');
	}
	return false;
}

const char *stripe_settings_fault(void)
{
	const char *webhook_secrets = setting("STRIPE_WEBHOOK_SECRET", "");

	if (strlen(secret_key()) < KEY_MIN)
		return "STRIPE_SECRET_KEY is missing or too short";
	if (strncmp(base_url(), "https://", 8) != 0 && !is_loopback(base_url()))
		return "STRIPE_API_BASE must be https:// unless it names this machine";
	if (!*webhook_secrets || has_weak_secret(webhook_secrets))
		return "STRIPE_WEBHOOK_SECRET is missing or shorter than 32 bytes";
	return NULL;
}

bool stripe_is_live(void)
{
	return !strncmp(secret_key() + 2, "_live_", 6);
}

static bool back_off(const struct request *request, int tries, long left)
{
	long most = BACKOFF_MS << tries;
	long wait = most / 2 + (long)arc4random_uniform((uint32_t)(most / 2));

	if (wait >= left || wait >= time_left(request))
		return false;
	nanosleep(&(struct timespec){wait / 1000, wait % 1000 * 1000000}, NULL);
	return true;
}

static bool worth_repeating(const struct response *response)
{
	if (response->outcome != ANSWERED)
		return true;
	if (response->should_retry)
		return !strcmp(response->should_retry, "true");
	if (response->replayed)
		return false;
	return response->status == 409 || response->status == 429 || response->status >= 500 ||
	       (response->status == 200 && !response->json);
}

/* Whether the try has told what became of the operation, or certainly left no trace. */
static bool leaves_doubt(const struct response *response)
{
	if (response->outcome != ANSWERED)
		return response->outcome == UNKNOWN;
	return response->status >= 500 || response->status == 409 ||
	       (response->status == 200 && !response->json);
}

static bool never_executed(struct arena *arena, const struct response *response)
{
	if (response->status == 400) { /* how older versions say 429 */
		const char *code = json_text(arena, response->json, "error.code");

		return same_outcome(code, "rate_limit");
	}
	return response->outcome == NOT_SENT || response->status == 429 ||
	       response->status == 401 || response->status == 403;
}

struct response call_stripe(struct request *request, const struct stripe_call *stripe)
{
	struct arena *arena = request->arena;
	const char *headers[] = {
		arena_printf(arena, "Authorization: Bearer %s", secret_key()),
		"Stripe-Version: " STRIPE_VERSION,
		"Accept: application/json",
		stripe->key ? arena_printf(arena, "Idempotency-Key: %s", stripe->key) : NULL,
		NULL,
	};
	struct call http = {
		.method = stripe->method,
		.url = arena_printf(arena, "%.*s/v1/%s", base_size(), base_url(), stripe->path),
		.headers = headers,
		.body = stripe->form,
	};
	struct response response = {.outcome = NOT_SENT, .body = ""};
	long reserve = time_left(request) - RESERVE_MS;
	long end = time_left(request) - (reserve < BUDGET_MS ? reserve : BUDGET_MS);
	bool doubt = false;

	for (int tries = 0; tries < TRIES; tries++) {
		http.timeout_ms = time_left(request) - end;
		if (tries && !back_off(request, tries - 1, http.timeout_ms))
			break;
		http.timeout_ms = time_left(request) - end;
		response = call(request, &http);
		doubt = doubt || response.repeated;
		if (!worth_repeating(&response))
			break;
		doubt = doubt || leaves_doubt(&response);
	}
	/* That the last try did nothing says nothing of those before it. */
	if (doubt && never_executed(arena, &response))
		return (struct response){.outcome = UNKNOWN, .body = ""};
	return response;
}

static const char *place_of(struct arena *arena, const struct response *page,
                            const struct wanted *wanted)
{
	for (int i = 0;; i++) {
		const char *at = arena_printf(arena, "data[%d]", i);
		const char *path = arena_printf(arena, "%s.metadata.%s", at, wanted->name);
		const char *value = json_text(arena, page->json, path);

		if (value && !strcmp(value, wanted->value))
			return at;
		if (!json_raw(arena, page->json, at))
			return NULL;
	}
}

static const char *last_id(struct arena *arena, const struct response *page)
{
	const char *last = NULL;

	for (int i = 0;; i++) {
		const char *path = arena_printf(arena, "data[%d].id", i);
		const char *id = json_text(arena, page->json, path);

		if (!id)
			return last;
		last = id;
	}
}

bool find_at_stripe(struct request *request, const struct wanted *wanted,
                    struct response *response, const char **at)
{
	struct arena *arena = request->arena;
	const char *path = arena_printf(arena, "%s&limit=100", wanted->path);

	*at = NULL;
	for (int i = 0; i < PAGES_MAX; i++) {
		*response = call_stripe(request, &(struct stripe_call){GET, path});
		if (response->outcome != ANSWERED || response->status != 200 || !response->json)
			return false;
		*at = place_of(arena, response, wanted);
		if (*at || !json_true(response->json, "has_more"))
			return true;
		path = arena_printf(arena, "%s&limit=100&starting_after=%s", wanted->path,
		                    last_id(arena, response));
	}
	return false;
}
