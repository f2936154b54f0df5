/* unit_proxy.c: which proxies are believed, and what they report. */
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "internal.h"
#include "tap.h"

static struct arena *arena;

/* Settings are read once per process, so what ends it is looked at in a child. */
static int status_of_start(const char *list)
{
	int status;

	fflush(stdout);

	pid_t child = fork();

	if (!child) {
		setenv("TRUSTED_PROXIES", list, 1);
		if (!freopen("/dev/null", "w", stderr))
			_exit(2);
		settings_load();
		proxy_configure();
		_exit(0);
	}
	waitpid(child, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

static void test_start(void)
{
	static const char *const good[] = {"",
	                                   " ",
	                                   ",",
	                                   "10.0.0.1",
	                                   "10.0.0.0/8, ::1 fe80::/10",
	                                   "0.0.0.0/0",
	                                   "::/0",
	                                   "255.255.255.255/32",
	                                   "::1/128"};
	static const char *const bad[] = {
		"10.0.0",
		"10.0.0.0/33",
		"10.0.0.0/",
		"10.0.0.0/-1",
		"10.0.0.0/+8",
		"10.0.0.0/8/8",
		"10.0.0.0/08x",
		"::1/129",
		"localhost",
		"10.0.0.1;10.0.0.2",
		"/8",
		"10.0.0.0/0008",
		"1111:2222:3333:4444:5555:6666:7777:8888:9999:1/1234567"};
	struct text many = {.arena = arena};

	for (size_t i = 0; i < COUNT(good); i++)
		is_int(status_of_start(good[i]), 0,
		       arena_printf(arena, "'%s' starts", good[i]));
	for (size_t i = 0; i < COUNT(bad); i++)
		is_int(status_of_start(bad[i]), 1,
		       arena_printf(arena, "'%s' does not", bad[i]));
	for (size_t i = 0; i < 64; i++)
		text_printf(&many, "10.0.0.%zu,", i);
	is_int(status_of_start(many.bytes), 0, "64 addresses start");
	text_printf(&many, "10.0.1.1");
	is_int(status_of_start(many.bytes), 1, "65 do not");
}

static void test_networks(void)
{
	static const char *const in[] = {"10.0.0.1",         "10.255.255.255", "192.168.7.3",
	                                 "192.168.7.2",      "172.31.0.1",     "::1",
	                                 "2001:db8:ffff::1", "fe80::1",        "febf::1",
	                                 "::ffff:10.1.2.3",  "2001:DB8::"};
	static const char *const out[] = {"",
	                                  "11.0.0.1",
	                                  "9.255.255.255",
	                                  "192.168.7.4",
	                                  "192.168.7.1",
	                                  "172.32.0.1",
	                                  "172.15.0.1",
	                                  "::2",
	                                  "2001:db9::1",
	                                  "fec0::1",
	                                  "::ffff:11.1.2.3",
	                                  "unix:",
	                                  "10.0.0.1 ",
	                                  "10.0.0.1:80",
	                                  "10.1",
	                                  "0x0a.0.0.1"};

	for (size_t i = 0; i < COUNT(in); i++)
		ok(proxy_is_trusted(in[i]), arena_printf(arena, "'%s' is trusted", in[i]));
	for (size_t i = 0; i < COUNT(out); i++)
		ok(!proxy_is_trusted(out[i]), arena_printf(arena, "'%s' is not", out[i]));
}

/* Peer, what it reports, and who is the client then. */
static void test_chain(void)
{
	static const char *const chains[][3] = {
		{"8.8.8.8", "9.9.9.9", "8.8.8.8"},
		{"10.0.0.1", "", "10.0.0.1"},
		{"10.0.0.1", "9.9.9.9", "9.9.9.9"},
		{"10.0.0.1", "1.1.1.1, 9.9.9.9", "9.9.9.9"},
		{"10.0.0.1", "9.9.9.9, 10.7.7.7", "9.9.9.9"},
		{"10.0.0.1", "9.9.9.9 ,10.7.7.7,  ::1 ", "9.9.9.9"},
		{"10.0.0.1", "10.9.9.9", "10.9.9.9"},
		{"10.0.0.1", "9.9.9.9, x, 10.7.7.7", "10.7.7.7"},
		{"10.0.0.1", "9.9.9.9,", "10.0.0.1"},
		{"10.0.0.1", "9.9.9.9:80", "10.0.0.1"},
		{"::1", "2606:4700::1", "2606:4700::1"},
		{"", "9.9.9.9", ""},
	};

	for (size_t i = 0; i < COUNT(chains); i++)
		is_text(proxy_client(arena, chains[i][0], chains[i][1]), chains[i][2],
		        arena_printf(arena, "'%s' reports '%s'", chains[i][0], chains[i][1]));
}

static void test_scheme(void)
{
	is_text(proxy_scheme("10.0.0.1", "https", "http"), "https", "TLS ends at a proxy");
	is_text(proxy_scheme("10.0.0.1", "HTTPS", "http"), "https", "in capitals, too");
	is_text(proxy_scheme("10.0.0.1", "http", "https"), "http", "a proxy may have none");
	is_text(proxy_scheme("10.0.0.1", "", "http"), "http", "a proxy may say nothing");
	is_text(proxy_scheme("10.0.0.1", "javascript", "http"), "http", "or nonsense");
	is_text(proxy_scheme("8.8.8.8", "https", "http"), "http", "a stranger is not asked");
}

int main(void)
{
	arena = arena_new();
	test_start();
	setenv("TRUSTED_PROXIES",
	       "10.0.0.0/8,192.168.7.2/31 172.16.0.0/12, ::1 2001:db8::/32 fe80::/10", 1);
	settings_load();
	proxy_configure();
	test_networks();
	test_chain();
	test_scheme();
	arena_destroy(arena);
	return done();
}
