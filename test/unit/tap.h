/* tap.h: what a unit test prints, in the Test Anything Protocol. */
#ifndef ARNOVA_TAP_H
#define ARNOVA_TAP_H

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static int tap_count, tap_failures;

static inline bool ok(bool good, const char *name)
{
	tap_failures += !good;
	printf("%sok %d - %s\n", good ? "" : "not ", ++tap_count, name);
	return good;
}

static inline bool is_text(const char *got, const char *wanted, const char *name)
{
	bool same = got && wanted ? !strcmp(got, wanted) : got == wanted;

	if (!ok(same, name))
		printf("# got '%s', wanted '%s'\n", got ? got : "(null)",
		       wanted ? wanted : "(null)");
	return same;
}

static inline bool is_int(long long got, long long wanted, const char *name)
{
	if (!ok(got == wanted, name))
		printf("# got %lld, wanted %lld\n", got, wanted);
	return got == wanted;
}

/* The plan, and the exit status of main(). */
static inline int done(void)
{
	printf("1..%d\n", tap_count);
	return tap_failures > 0;
}

#endif
