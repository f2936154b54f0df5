/* state.c: files that the workers of a service on one host share (architecture.md section 8).
 *
 * They may vanish at any time, hold anything, or be refused by the system: whoever uses one can
 * do without. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "internal.h"

static char prefix[LIMIT_STATE_PATH];

int64_t boot_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* What the paths of this shop's files begin with.  In /dev/shm, which all share, they name the
 * user and, by its address, the shop: one user may run several. */
static const char *folder_prefix(struct arena *arena)
{
	const char *folder = setting("STATE_FOLDER", NULL), *var = setting("VAR", NULL);
	const char *shop = setting("USERS_SERVICE_URL", "");

	if (folder)
		return arena_printf(arena, "%s/", folder);
	if (var)
		return arena_printf(arena, "%s/run/", var);
	return arena_printf(arena, "/dev/shm/arnova-%u-%.8s-", (unsigned)geteuid(),
	                    sha256_hex(arena, shop, strlen(shop)));
}

void state_configure(struct arena *arena, const char *service)
{
	const char *path = arena_printf(arena, "%s%s.", folder_prefix(arena), service);

	if (strlen(path) >= sizeof(prefix) - LIMIT_STATE_NAME)
		die("could not start: the path of STATE_FOLDER is too long");
	memcpy(prefix, path, strlen(path) + 1);
}

const char *state_path(struct arena *arena, const char *name)
{
	return arena_printf(arena, "%s%.*s", prefix, LIMIT_STATE_NAME - 1, name);
}

bool state_is_ours(int file, struct stat *about)
{
	if (fstat(file, about) < 0)
		return false;
	errno = EPERM;
	return S_ISREG(about->st_mode) && about->st_uid == geteuid() && !(about->st_mode & 022);
}

void state_complain(struct arena *arena, const char *path)
{
	static bool complained;

	if (!complained)
		log_event("warn", "could not use a file that workers share",
		          "\"file.path\":%s,\"error.message\":%s", json_quote(arena, path),
		          json_quote(arena, strerror(errno)));
	complained = true;
}
