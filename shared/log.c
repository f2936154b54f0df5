/* log.c: one JSON object a line on standard error, with the names of the Elastic Common Schema.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "internal.h"

#define LIMIT_LINE 8192

static const char *log_service = "arnova";

void log_name(const char *service)
{
	log_service = service;
}

/* format gives further members of the object, such as "\"url.path\":%s"; texts come from
 * json_quote(). */
void log_event(const char *level, const char *message, const char *format, ...)
{
	char line[LIMIT_LINE], members[LIMIT_LINE - 512] = "", at[32];
	struct timespec now;
	struct tm utc;
	va_list arguments;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &utc);
	strftime(at, sizeof(at), "%Y-%m-%dT%H:%M:%S", &utc);
	va_start(arguments, format);

	int wanted = vsnprintf(members, sizeof(members), format, arguments);

	va_end(arguments);
	if (wanted < 0 || (size_t)wanted >= sizeof(members))
		snprintf(members, sizeof(members),
		         "\"error.message\":\"the entry was too long\"");

	int size = snprintf(
		line, sizeof(line),
		"{\"@timestamp\":\"%s.%03ldZ\",\"log.level\":\"%s\",\"message\":\"%s\","
		"\"ecs.version\":\"8.11.0\",\"service.name\":\"%s\","
		"\"service.version\":\"" ARNOVA_VERSION "\",\"process.pid\":%d%s%s}\n",
		at, now.tv_nsec / 1000000, level, message, log_service, (int)getpid(),
		*members ? "," : "", members);

	/* One write a line: the lines of several workers never mix. */
	if (size > 0 && (size_t)size < sizeof(line) && write(2, line, (size_t)size) < 0)
		return; /* nowhere to tell */
}

void log_alarm(const struct request *request, const char *message, const char *members)
{
	log_event("error", message, "\"http.request.id\":%s%s%s",
	          json_quote(request->arena, request->id), *members ? "," : "", members);
}

void die(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	exit(1);
}
