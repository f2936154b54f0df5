/* config.c: settings from the environment, read once before the first request. */
#include <stdlib.h>
#include <string.h>

#include "internal.h"

extern char **environ;

static char **settings; /* a copy: libfcgi's accept and CGI put the request into environ */

void settings_load(void)
{
	size_t count = 0;

	if (settings)
		return;
	while (environ[count])
		count++;
	settings = calloc(count + 1, sizeof(*settings));
	if (!settings)
		die("could not read the settings: out of memory");
	for (size_t i = 0; i < count; i++) {
		settings[i] = strdup(environ[i]);
		if (!settings[i])
			die("could not read the settings: out of memory");
	}
}

const char *setting(const char *name, const char *fallback)
{
	size_t length = strlen(name);

	for (char **entry = settings; entry && *entry; entry++)
		if (!strncmp(*entry, name, length) && (*entry)[length] == '=')
			return (*entry)[length + 1] ? *entry + length + 1 : fallback;
	return fallback;
}

const char *service_setting(struct arena *arena, const char *service, const char *suffix)
{
	/* products, _database_url: PRODUCTS_DATABASE_URL */
	return setting(arena_upper(arena, arena_printf(arena, "%s%s", service, suffix)), NULL);
}
