/* breaker.c: which siblings are worth calling (architecture.md section 5).
 *
 * A sibling that mostly fails is left alone for a while, so that it can recover and nobody
 * waits for it in vain; then one caller at a time tries whether it is back.  All workers of a
 * service on a host count together, in a file that they map.  It may vanish at any time, and
 * hold anything: at worst a sibling is left alone for one rest. */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "internal.h"

enum {
	WINDOW = 30,    /* seconds that are looked at: more than a call may hang */
	ENOUGH = 20,    /* calls in them that allow a judgement */
	WEIGHT = 7,     /* of one that hung: few callers are left to make more */
	REST_MS = 2000, /* that a sibling is left alone for */
};

/* The calls of one second. */
struct bucket {
	_Atomic int64_t second;
	_Atomic uint32_t good, bad;
};

struct breaker {
	_Atomic int64_t opened_ms; /* 0: closed */
	struct bucket buckets[WINDOW];
};

static struct breaker *breakers; /* one for each sibling; NULL: all is tried always */
static int probes = -1;          /* the file, whose byte n is held by who tries sibling n */
static bool probing[SERVICES];   /* we do */

/* Without the file there are no breakers, which costs patience and nothing else. */
void breakers_configure(struct arena *arena)
{
	const char *path = state_path(arena, "breakers");
	size_t size = SERVICES * sizeof(*breakers);
	int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	struct stat about;

	if (file >= 0 && state_is_ours(file, &about) &&
	    ((size_t)about.st_size == size || !ftruncate(file, (off_t)size))) {
		void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);

		if (memory != MAP_FAILED) {
			breakers = memory;
			probes = file;
			return;
		}
	}
	state_complain(arena, path);
	if (file >= 0)
		close(file);
}

static bool lock_probe(enum service service, short type)
{
	struct flock lock = {
		.l_type = type, .l_whence = SEEK_SET, .l_start = service, .l_len = 1};

	return !fcntl(probes, F_SETLK, &lock);
}

bool breaker_is_open(enum service service)
{
	int64_t opened = breakers ? atomic_load(&breakers[service].opened_ms) : 0;
	int64_t age = boot_ms() - opened;

	return opened && age >= 0 && age < REST_MS;
}

bool breaker_allows(enum service service)
{
	if (!breakers || !atomic_load(&breakers[service].opened_ms))
		return true;
	if (breaker_is_open(service))
		return false;
	probing[service] = lock_probe(service, F_WRLCK);
	return probing[service];
}

/* Its second's bucket, emptied of what it counted a window ago. */
static struct bucket *bucket_of(struct breaker *breaker, int64_t second)
{
	struct bucket *bucket = &breaker->buckets[second % WINDOW];
	int64_t held = atomic_load(&bucket->second);

	/* A call that another worker counts between these lines may be lost; so be it. */
	if (held != second && atomic_compare_exchange_strong(&bucket->second, &held, second)) {
		atomic_store(&bucket->good, 0);
		atomic_store(&bucket->bad, 0);
	}
	return bucket;
}

static bool mostly_bad(struct breaker *breaker, int64_t second)
{
	uint64_t good = 0, bad = 0;

	for (size_t i = 0; i < WINDOW; i++) {
		struct bucket *bucket = &breaker->buckets[i];
		int64_t age = second - atomic_load(&bucket->second);

		if (age < 0 || age >= WINDOW)
			continue;
		good += atomic_load(&bucket->good);
		bad += atomic_load(&bucket->bad);
	}
	return good + bad >= ENOUGH && bad >= good;
}

static void set_open(enum service service, bool open)
{
	struct breaker *breaker = &breakers[service];
	bool was_open = atomic_exchange(&breaker->opened_ms, open ? boot_ms() : 0) != 0;

	if (!open)
		for (size_t i = 0; i < WINDOW; i++)
			atomic_store(&breaker->buckets[i].second, 0);
	if (was_open != open)
		log_event("warn", open ? "leaves a service alone" : "calls a service again",
		          "\"destination.service.name\":\"%s\"", service_names[service]);
}

void breaker_tell(enum service service, enum health health)
{
	if (!breakers)
		return;
	if (probing[service]) {
		set_open(service, health != WELL);
		lock_probe(service, F_UNLCK);
		probing[service] = false;
		return;
	}

	struct breaker *breaker = &breakers[service];
	int64_t second = boot_ms() / 1000;
	struct bucket *bucket = bucket_of(breaker, second);

	atomic_fetch_add(health == WELL ? &bucket->good : &bucket->bad,
	                 health == HUNG ? WEIGHT : 1);
	if (health != WELL && !atomic_load(&breaker->opened_ms) && mostly_bad(breaker, second))
		set_open(service, true);
}
