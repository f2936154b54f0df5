/* fastcgi.c: requests from the web server, as FastCGI (libfcgi) or as plain CGI. */
#include <errno.h>
#include <fcgiapp.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "internal.h"

static FCGX_Request fcgi_request;
static bool is_cgi, started;
static char **cgi_environ; /* plain CGI: the variables of its one request */
static volatile sig_atomic_t stopping;
static sigset_t while_waiting; /* the mask outside of a request */

extern char **environ;

static void stop(int signal)
{
	(void)signal;
	stopping = 1;
}

/* Signals are blocked and only delivered inside ppoll(): none interrupts a request, and none is
 * missed between a check and accept(), as libfcgi's own handlers may. */
static void prepare(void)
{
	static const int ends[] = {SIGTERM, SIGINT, SIGUSR1, SIGQUIT, SIGHUP};
	struct sigaction action = {.sa_handler = stop};
	sigset_t blocked;

	started = true;
	sigemptyset(&blocked);
	for (size_t i = 0; i < COUNT(ends); i++) {
		sigaddset(&blocked, ends[i]);
		sigaction(ends[i], &action, NULL);
	}
	sigprocmask(SIG_BLOCK, &blocked, &while_waiting);
	signal(SIGPIPE, SIG_IGN);
	is_cgi = FCGX_IsCGI();
	if (is_cgi) {
		cgi_environ = environ;
		return;
	}
	FCGX_Init();
	FCGX_InitRequest(&fcgi_request, 0, FCGI_FAIL_ACCEPT_ON_INTR);
	fcntl(0, F_SETFL, fcntl(0, F_GETFL) | O_NONBLOCK);
}

bool fcgi_accept(void)
{
	bool first = !started;

	if (first)
		prepare();
	if (is_cgi)
		return first;
	for (;;) {
		struct pollfd listener = {.fd = 0, .events = POLLIN};

		if (stopping)
			return false;
		if (ppoll(&listener, 1, NULL, &while_waiting) < 0) {
			if (errno == EINTR)
				continue;
			return false;
		}
		/* -EAGAIN: a sibling process took it. */
		if (FCGX_Accept_r(&fcgi_request) >= 0)
			return true;
		if (listener.revents & (POLLERR | POLLHUP | POLLNVAL))
			return false;
	}
}

static char **variables(void)
{
	return is_cgi ? cgi_environ : fcgi_request.envp;
}

const char *fcgi_variable(const char *name)
{
	size_t length = strlen(name);

	for (char **entry = variables(); *entry; entry++)
		if (!strncmp(*entry, name, length) && (*entry)[length] == '=')
			return *entry + length + 1;
	return NULL;
}

/* A client's header only: the web server itself may say a CGI variable twice. */
bool fcgi_header_twice(void)
{
	for (char **entry = variables(); *entry; entry++) {
		const char *end = strchr(*entry, '=');

		if (!end || strncmp(*entry, "HTTP_", 5) != 0)
			continue;
		for (char **other = entry + 1; *other; other++)
			if (!strncmp(*entry, *other, (size_t)(end - *entry) + 1))
				return true;
	}
	return false;
}

long fcgi_read(char *bytes, size_t size)
{
	if (!is_cgi)
		return FCGX_GetStr(bytes, (int)size, fcgi_request.in);

	size_t got = 0;

	while (got < size) {
		ssize_t more = read(0, bytes + got, size - got);

		if (more < 0 && errno == EINTR)
			continue;
		if (more <= 0)
			break;
		got += (size_t)more;
	}
	return (long)got;
}

void fcgi_write(const char *bytes, size_t size)
{
	if (!is_cgi) {
		FCGX_PutStr(bytes, (int)size, fcgi_request.out);
		return;
	}
	while (size) {
		ssize_t sent = write(1, bytes, size);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent <= 0)
			return; /* the client went away */
		bytes += sent;
		size -= (size_t)sent;
	}
}

void fcgi_finish(void)
{
	if (!is_cgi)
		FCGX_Finish_r(&fcgi_request);
}
