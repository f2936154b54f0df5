/* session_list.c: the list of ended sessions in a file that the workers of a service share.
 *
 * The file is always replaced whole, so a reader needs no lock, sees no half of it, and a
 * worker may be killed at any time.  Where it cannot be used each process has a list of its
 * own, which costs more calls. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "session_list.h"

static char list_path[LIMIT_STATE_PATH], new_path[LIMIT_STATE_PATH],
	lock_path[LIMIT_STATE_PATH];
static char boot[sizeof(((struct session_list *)0)->boot)]; /* of the machine */
static struct stat seen;                                    /* the file that was read last */
static int lock_file = -1;     /* the only descriptor: closing another would lose the lock */
static int64_t failure_of_own; /* this process's last, where there is no file for it */

static void read_boot(void)
{
	int file = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);

	if (file >= 0 && read(file, boot, 36) < 0)
		*boot = '\0';
	if (file >= 0)
		close(file);
}

void sessions_configure(struct arena *arena)
{
	read_boot();
	snprintf(list_path, sizeof(list_path), "%s", state_path(arena, "sessions"));
	snprintf(new_path, sizeof(new_path), "%s", state_path(arena, "sessions.new"));
	snprintf(lock_path, sizeof(lock_path), "%s", state_path(arena, "sessions.lock"));
}

/* ---- The list ---- */

static size_t size_of(uint64_t count)
{
	return sizeof(struct session_list) + count * sizeof(struct session);
}

static struct session session_of(const char *family)
{
	unsigned char digest[SHA256_SIZE];
	struct session session;

	sha256(family, strlen(family), digest);
	memcpy(session.digest, digest, sizeof(session.digest));
	return session;
}

static int compare(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct session));
}

struct session_list *session_list_copy(const struct session_list *base, size_t more)
{
	uint64_t count = base ? base->count : 0;
	struct session_list *list =
		count + more <= LIMIT_ENDED ? calloc(1, size_of(count + more)) : NULL;

	if (list && base)
		memcpy(list, base, size_of(count));
	if (list) {
		memcpy(list->layout, SESSION_LIST_LAYOUT, sizeof(list->layout));
		memcpy(list->boot, boot, sizeof(list->boot));
	}
	return list;
}

void session_list_add(struct session_list *list, const char *family)
{
	list->ended[list->count++] = session_of(family);
}

bool session_list_has(const struct session_list *list, const char *family)
{
	struct session session;

	if (!list->count)
		return false;
	session = session_of(family);
	return bsearch(&session, list->ended, list->count, sizeof(session), compare);
}

static void sort(struct session_list *list)
{
	uint64_t kept = 0;

	qsort(list->ended, list->count, sizeof(list->ended[0]), compare);
	for (uint64_t i = 0; i < list->count; i++)
		if (!kept || compare(&list->ended[kept - 1], &list->ended[i]) != 0)
			list->ended[kept++] = list->ended[i];
	list->count = kept;
}

/* ---- The file ---- */

static void digest_of(const struct session_list *list, unsigned char digest[SHA256_SIZE])
{
	sha256(list->layout, size_of(list->count) - sizeof(list->digest), digest);
}

static bool is_whole(const struct session_list *list, size_t size)
{
	unsigned char digest[SHA256_SIZE];

	if (size < sizeof(*list) || list->count > LIMIT_ENDED || size_of(list->count) != size ||
	    memcmp(list->layout, SESSION_LIST_LAYOUT, sizeof(list->layout)) != 0)
		return false;
	digest_of(list, digest);
	return !memcmp(list->digest, digest, sizeof(digest));
}

/* NULL: there is no list in it. */
static struct session_list *read_list(int file, size_t size)
{
	struct session_list *list =
		size <= size_of(LIMIT_ENDED) ? calloc(1, size_of(0) + size) : NULL;

	if (!list || read(file, list, size) != (ssize_t)size || !is_whole(list, size)) {
		free(list);
		return NULL;
	}
	/* The times of another boot say nothing: the list is old. */
	if (strcmp(list->boot, boot) != 0)
		list->asked = list->whole = 0;
	return list;
}

static bool was_seen(const struct stat *about)
{
	return about->st_ino == seen.st_ino && about->st_size == seen.st_size &&
	       about->st_mtim.tv_sec == seen.st_mtim.tv_sec &&
	       about->st_mtim.tv_nsec == seen.st_mtim.tv_nsec;
}

struct session_list *session_list_load(struct arena *arena, struct session_list *known)
{
	int file = open(list_path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK);
	struct session_list *list = NULL;
	struct stat about;

	if (file < 0)
		return known;
	if (!state_is_ours(file, &about)) {
		state_complain(arena, list_path);
	} else if (!was_seen(&about)) {
		list = read_list(file, (size_t)about.st_size);
		seen = about;
	}
	close(file);
	if (!list || (known && list->asked < known->asked)) {
		free(list);
		return known;
	}
	free(known);
	return list;
}

static bool write_list(const struct session_list *list)
{
	size_t size = size_of(list->count);
	int file;

	unlink(new_path); /* of a worker that died */
	file = open(new_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (file < 0)
		return false;

	bool written = write(file, list, size) == (ssize_t)size;

	close(file);
	return written && !rename(new_path, list_path);
}

void session_list_keep(struct arena *arena, struct session_list *list)
{
	sort(list);
	digest_of(list, list->digest);
	if (!write_list(list))
		state_complain(arena, new_path);
}

/* ---- The lock, and in its file the last failure ---- */

static bool open_lock(void)
{
	struct stat about;

	if (lock_file >= 0 && !fstat(lock_file, &about) && about.st_nlink)
		return true;
	if (lock_file >= 0)
		close(lock_file);
	lock_file =
		open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
	if (lock_file >= 0 && state_is_ours(lock_file, &about))
		return true;
	if (lock_file >= 0)
		close(lock_file);
	lock_file = -1;
	return false;
}

bool session_lock(struct arena *arena)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1};

	if (!open_lock()) {
		state_complain(arena, lock_path);
		return true;
	}
	return !fcntl(lock_file, F_SETLK, &lock) || (errno != EAGAIN && errno != EACCES);
}

void session_unlock(void)
{
	struct flock lock = {.l_type = F_UNLCK, .l_whence = SEEK_SET, .l_len = 1};

	if (lock_file >= 0)
		fcntl(lock_file, F_SETLK, &lock);
}

int64_t session_failure(void)
{
	int64_t at = 0;

	if (!open_lock())
		return failure_of_own;
	return pread(lock_file, &at, sizeof(at), 0) == sizeof(at) ? at : 0;
}

void session_record_failure(struct arena *arena, int64_t at)
{
	failure_of_own = at;
	if (lock_file >= 0 && pwrite(lock_file, &at, sizeof(at), 0) != sizeof(at))
		state_complain(arena, lock_path);
}
