/* listen.c: the listener on loopback and its connections, one thread each. */
#include "standin.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS_MAX 512
#define BACKLOG 1024
#define IDLE_SECONDS 75
#define STACK_SIZE (1024 * 1024)

struct slot {
	uint64_t number;
	int socket; /* -1: free */
	bool busy;  /* between the head of a request and the end of its answer */
};

static int listener = -1;
static uint16_t own_port;
static pthread_t acceptor;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t one_less = PTHREAD_COND_INITIALIZER;
static struct slot slots[CONNECTIONS_MAX];
static size_t open_count;
static uint64_t accepted;
static _Atomic(int64_t) refuse_until; /* milliseconds of the machine's own clock */

static int64_t clock_milliseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- Connections ---- */

static void *run_connection(void *argument)
{
	struct slot *slot = argument;

	serve_connection(slot->socket, slot->number);
	pthread_mutex_lock(&lock);
	close(slot->socket);
	slot->socket = -1;
	open_count--;
	pthread_cond_signal(&one_less);
	pthread_mutex_unlock(&lock);
	return NULL;
}

void connection_busy(uint64_t number, bool busy)
{
	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < CONNECTIONS_MAX; i++)
		if (slots[i].socket >= 0 && slots[i].number == number)
			slots[i].busy = busy;
	pthread_mutex_unlock(&lock);
}

/* NULL: there are too many. */
static struct slot *take_slot(int socket)
{
	struct slot *free_slot = NULL;

	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < CONNECTIONS_MAX && !free_slot; i++)
		if (slots[i].socket < 0)
			free_slot = &slots[i];
	if (free_slot) {
		*free_slot = (struct slot){++accepted, socket, false};
		open_count++;
	}
	pthread_mutex_unlock(&lock);
	return free_slot;
}

static void start_connection(int socket)
{
	const struct timeval idle = {IDLE_SECONDS, 0};
	struct slot *slot = take_slot(socket);
	pthread_attr_t attributes;
	pthread_t thread;

	if (!slot) {
		close(socket);
		return;
	}
	setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &idle, sizeof(idle));
	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attributes, STACK_SIZE);
	if (pthread_create(&thread, &attributes, run_connection, slot) != 0) {
		fputs("could not start a thread\n", stderr);
		abort();
	}
	pthread_attr_destroy(&attributes);
}

/* Locked by lock. With all, also those that are at work. */
static void shut_connections(bool all)
{
	for (size_t i = 0; i < CONNECTIONS_MAX; i++)
		if (slots[i].socket >= 0 && (all || !slots[i].busy))
			shutdown(slots[i].socket, SHUT_RDWR);
}

/* ---- The listener ---- */

/* A socket with our address that does not listen yet: who connects is refused. */
static bool open_listener(void)
{
	const struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_port = htons(own_port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int on = 1;

	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	return listener >= 0 &&
	       bind(listener, (const struct sockaddr *)&address, sizeof(address)) == 0;
}

bool refusing(void)
{
	return clock_milliseconds() < atomic_load(&refuse_until);
}

void refuse_connections(int64_t milliseconds)
{
	atomic_store(&refuse_until, clock_milliseconds() + milliseconds);
	pthread_mutex_lock(&lock);
	shutdown(listener, SHUT_RDWR);
	shut_connections(false);
	pthread_mutex_unlock(&lock);
}

static void sit_out_refusal(void)
{
	bool opened;

	pthread_mutex_lock(&lock);
	close(listener);
	opened = open_listener();
	pthread_mutex_unlock(&lock);
	while (refusing() && !stopping())
		pause_for(atomic_load(&refuse_until) - clock_milliseconds());
	if (!opened || listen(listener, BACKLOG) != 0) {
		perror("could not listen again");
		abort();
	}
}

static void *accept_all(void *nothing)
{
	while (!stopping()) {
		int socket = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

		if (socket >= 0)
			start_connection(socket);
		else if (refusing())
			sit_out_refusal();
		else if (errno == EINVAL)
			break; /* shut down */
		else if (errno != EINTR && errno != ECONNABORTED)
			pause_for(20);
	}
	return nothing;
}

bool http_start(uint16_t *port)
{
	struct sockaddr_in address;
	socklen_t size = sizeof(address);

	for (size_t i = 0; i < CONNECTIONS_MAX; i++)
		slots[i].socket = -1;
	own_port = *port;
	if (!open_listener() || listen(listener, BACKLOG) != 0 ||
	    getsockname(listener, (struct sockaddr *)&address, &size) != 0)
		return false;
	*port = own_port = ntohs(address.sin_port);
	return pthread_create(&acceptor, NULL, accept_all, NULL) == 0;
}

/* After stop_pauses: wakes every thread at its socket and waits for it. */
void http_stop(void)
{
	pthread_mutex_lock(&lock);
	shutdown(listener, SHUT_RDWR);
	pthread_mutex_unlock(&lock);
	pthread_join(acceptor, NULL);
	close(listener);
	pthread_mutex_lock(&lock);
	shut_connections(true);
	while (open_count)
		pthread_cond_wait(&one_less, &lock);
	pthread_mutex_unlock(&lock);
}
