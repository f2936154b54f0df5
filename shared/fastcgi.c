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

/* The value behind "NAME=", where the entry is of that name. */
static const char *value_of(const char *entry, const char *name, size_t length)
{
	return !strncmp(entry, name, length) && entry[length] == '=' ? entry + length + 1
	                                                             : NULL;
}

/* Several lines of a header are one list (RFC 9110 section 5.3).  Of any other variable that a
 * web server names twice the first counts. */
const char *fcgi_variable(struct arena *arena, const char *name)
{
	bool is_header = !strncmp(name, "HTTP_", 5);
	struct text text = {.arena = arena};

	for (char **entry = variables(); *entry; entry++) {
		const char *value = value_of(*entry, name, strlen(name));

		if (value && (is_header || !text.bytes))
			text_printf(&text, "%s%s", text.bytes ? ", " : "", value);
	}
	return text.bytes;
}

/* Headers that hold a list and so may have several lines.  Some web servers join them, others
 * pass each line on. */
static bool holds_list(const char *name, size_t length)
{
	static const char *const lists[] = {
		"ACCEPT",          "ACCEPT_CHARSET",
		"ACCEPT_ENCODING", "ACCEPT_LANGUAGE",
		"CACHE_CONTROL",   "COOKIE",
		"FORWARDED",       "PRAGMA",
		"TRACESTATE",      "VIA",
		"X_FORWARDED_FOR",
	};

	for (size_t i = 0; i < COUNT(lists); i++)
		if (strlen(lists[i]) == length && !strncmp(lists[i], name, length))
			return true;
	return false;
}

bool fcgi_header_twice(void)
{
	for (char **entry = variables(); *entry; entry++) {
		size_t length = strcspn(*entry, "=");

		if (strncmp(*entry, "HTTP_", 5) != 0 || holds_list(*entry + 5, length - 5))
			continue;
		for (char **other = entry + 1; *other; other++)
			if (value_of(*other, *entry, length))
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
