/* relay.c: the verbs that finish what a service left to others: events, orders, payments. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"

enum {
	POLL_MS = 250,             /* between looks into the outboxes */
	DUE_MS = 2000,             /* between looks at what waits to be finished */
	FORGET_MS = 3600000,       /* between clearings of old events */
	PAUSE_MS = 1000,           /* for a peer that does not answer, and up to twice that */
	ROUNDS_OF_ONE_OUTBOX = 25, /* before the next service's has its turn */
	ONCE_MS = 45000,           /* for cron, which starts one every minute */
	ONCE_ROUNDS = 100,
};

static volatile sig_atomic_t ending;

/* When a subscriber (or a database) that did not answer is tried again. */
static int64_t subscriber_back[SERVICES], database_back[SERVICES];

static void end(int signal)
{
	(void)signal;
	ending = 1;
}

static void catch_signals(void)
{
	struct sigaction action = {.sa_handler = end};

	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
}

static int64_t now_ms(void)
{
	return now_us() / 1000;
}

static void wait_ms(long ms)
{
	nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
}

static int64_t after_pause(void)
{
	return now_ms() + PAUSE_MS + (int64_t)arc4random_uniform(PAUSE_MS);
}

/* ---- Events ---- */

static unsigned subscribers_away(void)
{
	unsigned away = 0;

	for (size_t i = 0; i < SERVICES; i++)
		if (subscriber_back[i] > now_ms())
			away |= 1u << i;
	return away;
}

/* The number of events of one batch; -1 when the database failed. */
static long relay_batch(size_t service)
{
	unsigned before = subscribers_away(), away = before;

	db_use(service_names[service]);

	struct request *request = cli_request();

	db_want_transaction(false); /* mostly there is nothing to do, in one statement */

	long count = relay_events(request, &away);

	db_rollback();
	for (size_t i = 0; i < SERVICES; i++)
		if ((away & ~before) >> i & 1)
			subscriber_back[i] = after_pause();
	if (count < 0)
		database_back[service] = after_pause();
	return count;
}

/* One pass through all outboxes.  The number of events, -1 when a database failed. */
static long relay_pass(void)
{
	long total = 0;

	for (size_t i = 0; i < SERVICES && !ending; i++) {
		long count = database_back[i] > now_ms() ? 0 : relay_batch(i);

		for (int round = 1; count > 0 && round < ROUNDS_OF_ONE_OUTBOX && !ending;
		     round++) {
			total += count;
			count = relay_batch(i);
		}
		if (count < 0)
			return -1;
		total += count;
	}
	return total;
}

static void forget_old_events(void)
{
	static int64_t next;

	if (next > now_ms())
		return;
	next = now_ms() + FORGET_MS;
	for (size_t i = 0; i < SERVICES; i++) {
		db_use(service_names[i]);
		for (int round = 0; round < ROUNDS_OF_ONE_OUTBOX && !ending; round++)
			if (forget_events(cli_request()) <= 0)
				break;
	}
}

/* ---- Orders and payments ---- */

/* Asks a service what waits to be finished, and to finish each.  The number of what it
 * finished; -1 when it did not answer. */
static long finish_due(enum service service)
{
	struct response due = ask(cli_request(), service, GET, NULL, "due");
	long count = 0;

	if (due.outcome != ANSWERED || due.status != 200 || !due.json)
		return -1;

	struct arena *arena = arena_new(); /* cli_request() empties the other one */
	struct json *list = json_parse(arena, due.body, strlen(due.body));
	int64_t order;

	for (long i = 0; !ending; i++) {
		order = json_int(list, arena_printf(arena, "orders[%ld]", i));
		if (!order)
			break;

		struct response run =
			ask(cli_request(), service, POST, NULL, "run/%lld", (long long)order);

		if (run.outcome == ANSWERED && run.status == 200)
			count++;
		else
			log_event(
				"warn", "could not finish an order",
				"\"arnova.order_id\":%lld,\"destination.service.name\":\"%s\","
				"\"http.response.status_code\":%d",
				(long long)order, service_names[service], run.status);
	}
	arena_destroy(arena);
	return count;
}

static int finish_verb(int argc, enum service service)
{
	if (argc != 1)
		return EXIT_USAGE;
	catch_signals();
	remote_configure();

	long count = finish_due(service);

	if (count < 0)
		return cli_fail("could not ask %s what is due: it does not answer",
		                service_names[service]);
	printf("%ld finished\n", count);
	return EXIT_SUCCESS;
}

int verb_expire(int argc, char **argv)
{
	(void)argv;
	return finish_verb(argc, ORDERS);
}

int verb_reconcile(int argc, char **argv)
{
	(void)argv;
	return finish_verb(argc, PAYMENTS);
}

/* ---- The relay ---- */

/* A process of its own, because to finish an order may take as long as Stripe does, and events
 * shall not wait for that.  It ends with its parent, however that ends. */
static pid_t start_finisher(enum service service)
{
	pid_t parent = getpid();
	pid_t child = fork();

	if (child != 0)
		return child;
	signal(SIGTERM, SIG_DFL); /* to break off harms nothing: what was begun stays due */
	signal(SIGINT, SIG_DFL);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(EXIT_FAILURE);
	/* Two on one connection would read each other's answers. */
	close_range(STDERR_FILENO + 1, ~0U, 0);
	remote_configure();
	for (;;) {
		(void)finish_due(service);
		wait_ms(DUE_MS);
	}
}

static void keep_finishers(pid_t finishers[2])
{
	static const enum service services[2] = {ORDERS, PAYMENTS};

	for (size_t i = 0; i < COUNT(services); i++) {
		if (finishers[i] > 0 && waitpid(finishers[i], NULL, WNOHANG) == 0)
			continue;
		finishers[i] = start_finisher(services[i]);
	}
}

static int relay_until_ended(void)
{
	pid_t finishers[2] = {0};

	while (!ending) {
		keep_finishers(finishers);
		if (relay_pass() <= 0 && !ending)
			wait_ms(POLL_MS);
		forget_old_events();
	}
	for (size_t i = 0; i < COUNT(finishers); i++)
		if (finishers[i] > 0)
			kill(finishers[i], SIGTERM);
	for (size_t i = 0; i < COUNT(finishers); i++)
		if (finishers[i] > 0)
			waitpid(finishers[i], NULL, 0);
	return EXIT_SUCCESS;
}

/* Until nothing can be delivered any more: what an event causes may be another event. */
static int relay_once(void)
{
	int64_t limit = now_ms() + ONCE_MS;
	long count = relay_pass();
	bool failed = count < 0 || finish_due(ORDERS) < 0 || finish_due(PAYMENTS) < 0;

	for (int round = 0; round < ONCE_ROUNDS && now_ms() < limit && !ending; round++) {
		count = relay_pass();
		failed = failed || count < 0;
		if (count <= 0)
			break;
	}
	forget_old_events();
	return failed ? cli_fail("could not relay everything: see above") : EXIT_SUCCESS;
}

int verb_relay(int argc, char **argv)
{
	bool once = argc == 2 && !strcmp(argv[1], "--once");

	if (argc != 1 && !once)
		return EXIT_USAGE;
	catch_signals();
	remote_configure();
	return once ? relay_once() : relay_until_ended();
}
