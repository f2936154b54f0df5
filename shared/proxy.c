/* proxy.c: what the proxies of TRUSTED_PROXIES report of the client: its address, its scheme.
 */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "internal.h"

#define LIMIT_NETWORKS 64
#define LIMIT_NETWORK 50 /* bytes of an IPv6 address with its length */
#define IPV4_BITS 96     /* by which an IPv4 address lies deeper, at ::ffff:a.b.c.d */

struct network {
	struct in6_addr address;
	unsigned bits; /* that must agree */
};

static struct network trusted[LIMIT_NETWORKS];
static size_t trusted_count;

/* Both families as IPv6, so that 10.0.0.1 and ::ffff:10.0.0.1 are one address. */
static bool read_address(const char *text, struct in6_addr *address)
{
	if (inet_pton(AF_INET6, text, address) == 1)
		return true;
	memset(address, 0, sizeof(*address));
	memset(address->s6_addr + 10, 0xff, 2);
	return inet_pton(AF_INET, text, address->s6_addr + 12) == 1;
}

/* 10.0.0.1, 10.0.0.0/8, 2001:db8::/32 */
static bool read_network(char *text, struct network *network)
{
	char *slash = strchr(text, '/');
	unsigned limit = strchr(text, ':') ? 128 : 128 - IPV4_BITS;

	network->bits = 128;
	if (slash) {
		const char *length = slash + 1;
		size_t digits = strspn(length, "0123456789");

		if (!digits || digits > 3 || length[digits])
			return false;

		unsigned bits = (unsigned)strtoul(length, NULL, 10);

		if (bits > limit)
			return false;
		network->bits = bits + 128 - limit;
		*slash = '\0';
	}
	return read_address(text, &network->address);
}

void proxy_configure(void)
{
	const char *list = setting("TRUSTED_PROXIES", "");

	for (trusted_count = 0; *(list += strspn(list, ", "));) {
		char text[LIMIT_NETWORK + 1] = "";
		size_t size = strcspn(list, ", ");

		if (trusted_count == LIMIT_NETWORKS)
			die("could not start: TRUSTED_PROXIES has more than %d networks",
			    LIMIT_NETWORKS);
		memcpy(text, list, size < LIMIT_NETWORK ? size : LIMIT_NETWORK);
		if (!read_network(text, &trusted[trusted_count++]))
			die("could not start: TRUSTED_PROXIES has '%.*s', which is no address "
			    "and no network",
			    (int)size, list);
		list += size;
	}
}

static bool is_within(const struct in6_addr *address, const struct network *network)
{
	unsigned bytes = network->bits / 8, rest = network->bits % 8;
	unsigned differ;

	if (memcmp(address, &network->address, bytes) != 0)
		return false;
	if (!rest)
		return true;
	differ = (unsigned)(address->s6_addr[bytes] ^ network->address.s6_addr[bytes]);
	return !(differ >> (8 - rest));
}

bool proxy_is_trusted(const char *peer)
{
	struct in6_addr address;

	if (!trusted_count || !read_address(peer, &address))
		return false;
	for (size_t i = 0; i < trusted_count; i++)
		if (is_within(&address, &trusted[i]))
			return true;
	return false;
}

/* Takes the last element off the list, which is "" in the end. */
static const char *take_last(char *list, struct arena *arena)
{
	char *comma = strrchr(list, ','), *end = comma ? comma : list;
	const char *last = (comma ? comma + 1 : list) + strspn(comma ? comma + 1 : list, " ");
	const char *taken = arena_copy(arena, last, strcspn(last, " "));

	*end = '\0';
	return taken;
}

const char *proxy_client(struct arena *arena, const char *peer, const char *forwarded_for)
{
	char *chain = arena_copy(arena, forwarded_for, strlen(forwarded_for));
	const char *client = peer;

	while (*chain && proxy_is_trusted(client)) {
		const char *reported = take_last(chain, arena);
		struct in6_addr address;

		if (!read_address(reported, &address))
			break;
		client = reported;
	}
	return client;
}

const char *proxy_scheme(const char *peer, const char *forwarded_proto, const char *scheme)
{
	if (!proxy_is_trusted(peer))
		return scheme;
	if (!strcasecmp(forwarded_proto, "https"))
		return "https";
	return strcasecmp(forwarded_proto, "http") ? scheme : "http";
}
