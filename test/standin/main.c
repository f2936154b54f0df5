/* main.c: the project's stand-in for Stripe, for tests and for a demo without an account.
 *
 *   stripe-standin --port N [--secret-key KEY] [--webhook-url URL] [--webhook-secret SECRET]
 *
 * Port 0 picks a free one. It listens on loopback only, says "listening on http://..." when it
 * is ready, and ends on SIGTERM or SIGINT. STRIPE_SECRET_KEY, STRIPE_WEBHOOK_URL and
 * STRIPE_WEBHOOK_SECRET (the first of a comma list) stand in for options left out. All state is
 * in memory.
 *
 * Under /v1/ it answers as Stripe does: payment_intents (create, read, list, confirm, capture,
 * cancel), refunds (create, read, list) and charges (read). What a payment leads to is decided
 * by its payment_method: see outcomes.c. openapi.json says what may be asked and answered.
 *
 * Under /_fake/ a test steers and reads it; bodies are JSON:
 *   GET  ledger[?order_id=&since=SEQ]  what was received, executed, replayed, answered, sent,
 *                                      violated; since: only what came after entry SEQ
 *   GET  violations           {"count", "violations"}: of requests that break a rule of the
 *                             house or openapi.json, and of answers and events that do; all
 *                             since the start, whatever was reset: a run that is well has none
 *   POST scenario             replaces rules and webhook behaviour; {} clears; GET shows counts
 *   POST authenticate         {"payment_intent", "result":"ok|fail"}
 *   POST settle               {"payment_intent" or "refund", "result":"succeeded|failed"}, with
 *                             "reason" for a refund that fails; {"charge", "result":"won|lost"}
 *                             ends its dispute
 *   POST refund               {"payment_intent", "amount"}: made in the dashboard
 *   POST refuse               {"ms"}: connections are refused so long, idle ones end
 *   POST release_webhooks     sends what hold or reversed has kept
 *   POST advance              {"seconds"}: moves its clock
 *   POST reset                forgets everything but the clock and the violations
 *   POST sink, GET sink       a webhook endpoint of its own, and what it got
 *
 * A scenario is {"rules":[{"match":{...},"do":{...}}],"webhooks":{...},"settle_ms":1000}.
 * match: method, path, order_id, nth (default 1), times (default 1; -1 for ever). A path is
 * compared whole; * stands for anything, and a path that ends in / is a prefix. The first rule
 * that strikes is the one that counts, and a replay can be struck too.
 * do, with "ms" for a pause before it (latency, black_hole and refused: their length):
 *   latency       "when":"before" holds the key in use, "after" pauses when all is saved
 *   reset         "when":"before_read|before|after": cuts the connection; after: effect made
 *   half_body, half_headers, broken_json, empty, wrong_amount ("currency"): effect made
 *   status        "status", "effect", "should_retry", "retry_after", "code", "saved"
 *   html502       no effect
 *   black_hole    no effect, and no answer until the caller gives up
 *   idle_close    effect made and answered, but the next request on the connection is cut
 *                 unread, as if it had been idle too long
 *   refused       "when":"before": cuts this call and refuses all others; "after": answers it
 *                 first
 * "effect" overrides. A 500 is what its key replays; with any other fault the key replays the
 * true answer if there was an effect, and is free if not. "saved" overrides for status.
 * webhooks: "mode":"on|off|twice|hold|reversed", "delay_ms" before the first attempt, and true
 * for stale, wrong_secret (both sent once only), rotated (a second, foreign v1 first),
 * unknown_type, livemode, before_answer, created (payment_intent.created is sent, too).
 * What is held stays so, whatever the next scenario says, until it is released or forgotten.
 * settle_ms: when processing payments and pending refunds settle; negative: by control only. */
#include "standin.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct settings settings;

static const char usage[] =
	"usage: stripe-standin --port N [--secret-key sk_test_...] [--webhook-url URL]\n"
	"                      [--webhook-secret whsec_...]\n";

struct option {
	const char *name;
	const char **place;
};

static bool read_options(int count, char *const values[], const struct option *options,
                         size_t option_count)
{
	for (int i = 1; i < count; i += 2) {
		size_t n = 0;

		while (n < option_count && strcmp(options[n].name, values[i]) != 0)
			n++;
		if (n == option_count || i + 1 == count)
			return false;
		*options[n].place = values[i + 1];
	}
	return true;
}

static bool read_port(const char *text, uint16_t *port)
{
	size_t digits = text ? strspn(text, "0123456789") : 0;
	unsigned long number = digits && digits < 6 ? strtoul(text, NULL, 10) : 65536;

	if (number > 65535 || text[digits])
		return false;
	*port = (uint16_t)number;
	return true;
}

static const char *or_environment(const char *option, const char *name, const char *otherwise)
{
	const char *value = option ? option : getenv(name);

	return value && *value ? value : otherwise;
}

/* The service may hold several secrets; the first is the one in force. */
static char *first_of(const char *list)
{
	char *first = copy_text(list);

	first[strcspn(first, ",")] = '\0';
	return first;
}

static void wait_for_signal(const sigset_t *signals)
{
	int number = 0;

	sigwait(signals, &number);
}

static int run(uint16_t port)
{
	sigset_t signals;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	pthread_sigmask(SIG_BLOCK, &signals, NULL);
	api_start();
	webhooks_start();

	bool started = http_start(&port);

	if (started) {
		printf("listening on http://127.0.0.1:%u\n", (unsigned)port);
		fflush(stdout);
		wait_for_signal(&signals);
	} else {
		perror("could not listen");
	}
	stop_pauses();
	if (started)
		http_stop();
	webhooks_stop();
	lock_state();
	forget_everything();
	clear_violations();
	unlock_state();
	spec_stop();
	return started ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int count, char *values[])
{
	const char *port_text = NULL;
	const char *secret = NULL;
	uint16_t port = 0;
	const struct option options[] = {
		{"--port", &port_text},
		{"--secret-key", &settings.secret_key},
		{"--webhook-url", &settings.webhook_url},
		{"--webhook-secret", &secret},
	};

	if (!read_options(count, values, options, COUNT(options)) ||
	    !read_port(port_text, &port)) {
		fputs(usage, stderr);
		return 2;
	}
	settings.secret_key =
		or_environment(settings.secret_key, "STRIPE_SECRET_KEY", "sk_test_standin");
	settings.webhook_url = or_environment(settings.webhook_url, "STRIPE_WEBHOOK_URL", NULL);

	char *webhook_secret =
		first_of(or_environment(secret, "STRIPE_WEBHOOK_SECRET", "whsec_standin"));

	settings.webhook_secret = webhook_secret;

	int status = run(port);

	free(webhook_secret);
	return status;
}
