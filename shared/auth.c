/* auth.c: who is asking, and whether they may. */
#include <string.h>
#include <strings.h>

#include "internal.h"

void auth_configure(void)
{
	const char *tokens = setting("SERVICE_TOKEN", NULL);

	if (!tokens)
		die("could not start: SERVICE_TOKEN is not set");
	while (*tokens) {
		size_t size = strcspn(tokens, ",");

		if (size < LIMIT_SECRET)
			die("could not start: SERVICE_TOKEN must have at least %d characters",
			    LIMIT_SECRET);
		tokens += size + (tokens[size] == ',');
	}
}

/* SERVICE_TOKEN is a list, so that it can be rotated. */
static bool is_service_token(struct arena *arena, const char *token)
{
	const char *tokens = setting("SERVICE_TOKEN", "");
	bool matches = false;

	while (*tokens) {
		size_t size = strcspn(tokens, ",");

		matches |= same_text(token, arena_copy(arena, tokens, size));
		tokens += size + (tokens[size] == ',');
	}
	return matches;
}

/* The code of what is wrong with the token's session; NULL: nothing.  It is looked up for
 * public routes only: internal ones take no user's token, and their workers may call nobody. */
static const char *session_fault(struct request *request, const struct claims *claims)
{
	if (strncmp(request->path, "/api/", 5) != 0)
		return NULL;
	switch (session_state(request, claims)) {
	case SESSION_ENDED:
		return "token_not_valid";
	case SESSION_UNKNOWN: /* a stolen token must not be good just because users is away */
		return "upstream_unavailable";
	default:
		return NULL;
	}
}

bool authenticate(struct request *request, struct reply *reply)
{
	const char *credentials = header(request, "Authorization");

	/* Another scheme than Bearer counts as no credentials. */
	if (!credentials || strncasecmp(credentials, "Bearer", 6) != 0 ||
	    !strchr(" \t", credentials[6]))
		return true;

	const char *token = credentials + 6 + strspn(credentials + 6, " ");

	if (is_service_token(request->arena, token)) {
		request->caller.access = SERVICE;
		return true;
	}

	const struct claims *claims = read_token(request->arena, token, "access");

	const char *fault = claims ? session_fault(request, claims) : "token_not_valid";

	if (fault) {
		*reply = problem(request, fault);
		return false;
	}
	request->caller = (struct caller){USER | (claims->is_staff ? STAFF : 0U),
	                                  claims->user_id, claims->family};
	return true;
}

bool authorise(struct request *request, const struct route *route, struct reply *reply)
{
	if (route->access == ANYONE || route->access & request->caller.access)
		return true;
	*reply = problem(request,
	                 request->caller.access ? "permission_denied" : "not_authenticated");
	return false;
}
