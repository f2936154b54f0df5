/* arena.c: memory that lives as long as a request. */
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#define RED_ZONE 16 /* between two allocations, so that an overrun hits poison */
#else
/* Without the sanitizer an arena's free space needs no marks. */
#define RED_ZONE 0
#define ASAN_POISON_MEMORY_REGION(at, size) ((void)(at), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(at, size) ((void)(at), (void)(size))
#endif

#define BLOCK_SIZE (32 * 1024)
#define ALIGNMENT 16

struct block {
	struct block *next;
	size_t room, used;
	_Alignas(ALIGNMENT) char bytes[];
};

struct deferred {
	struct deferred *next;
	void (*release)(void *);
	void *object;
};

struct arena {
	struct block *blocks; /* the newest first; the last one is kept by arena_reset() */
	struct deferred *deferred;
};

static struct block *new_block(size_t room, struct block *next)
{
	struct block *block = malloc(sizeof(*block) + room);

	if (!block) {
		fputs("out of memory\n", stderr);
		abort();
	}
	*block = (struct block){.next = next, .room = room};
	ASAN_POISON_MEMORY_REGION(block->bytes, room);
	return block;
}

static void free_block(struct block *block)
{
	ASAN_UNPOISON_MEMORY_REGION(block->bytes, block->room);
	free(block);
}

struct arena *arena_new(void)
{
	struct arena *arena = calloc(1, sizeof(*arena));

	if (!arena)
		abort();
	arena->blocks = new_block(BLOCK_SIZE, NULL);
	return arena;
}

void arena_reset(struct arena *arena)
{
	while (arena->deferred) {
		struct deferred *last = arena->deferred;

		arena->deferred = last->next;
		last->release(last->object);
	}
	while (arena->blocks->next) {
		struct block *next = arena->blocks->next;

		free_block(arena->blocks);
		arena->blocks = next;
	}
	arena->blocks->used = 0;
	ASAN_POISON_MEMORY_REGION(arena->blocks->bytes, arena->blocks->room);
}

void arena_destroy(struct arena *arena)
{
	arena_reset(arena);
	free_block(arena->blocks);
	free(arena);
}

void *arena_alloc(struct arena *arena, size_t size)
{
	size_t need = (size + RED_ZONE + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
	struct block *block = arena->blocks;

	assert(need >= size);
	if (block->room - block->used < need) {
		block = new_block(need > BLOCK_SIZE ? need : BLOCK_SIZE, block);
		arena->blocks = block;
	}

	void *at = block->bytes + block->used;

	block->used += need;
	ASAN_UNPOISON_MEMORY_REGION(at, size);
	return memset(at, 0, size);
}

char *arena_copy(struct arena *arena, const char *text, size_t size)
{
	char *copy = arena_alloc(arena, size + 1);

	return size ? memcpy(copy, text, size) : copy;
}

char *arena_vprintf(struct arena *arena, const char *format, va_list arguments)
{
	va_list again;

	va_copy(again, arguments);

	char probe[1];
	int size = vsnprintf(probe, sizeof(probe), format, again);
	char *text = arena_alloc(arena, (size_t)size + 1);

	va_end(again);
	vsnprintf(text, (size_t)size + 1, format, arguments);
	return text;
}

char *arena_printf(struct arena *arena, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);

	char *text = arena_vprintf(arena, format, arguments);

	va_end(arguments);
	return text;
}

char *arena_upper(struct arena *arena, const char *text)
{
	char *copy = arena_copy(arena, text, strlen(text));

	for (char *c = copy; *c; c++)
		if (*c >= 'a' && *c <= 'z')
			*c = (char)(*c - 'a' + 'A');
	return copy;
}

char *arena_lower(struct arena *arena, const char *text)
{
	char *copy = arena_copy(arena, text, strlen(text));

	for (char *c = copy; *c; c++)
		if (*c >= 'A' && *c <= 'Z')
			*c = (char)(*c - 'A' + 'a');
	return copy;
}

void arena_defer(struct arena *arena, void (*release)(void *), void *object)
{
	struct deferred *deferred = arena_alloc(arena, sizeof(*deferred));

	*deferred = (struct deferred){arena->deferred, release, object};
	arena->deferred = deferred;
}

void text_add(struct text *text, const char *bytes, size_t size)
{
	if (text->size + size + 1 > text->room) {
		size_t room = (text->size + size + 1) * 2 + 64;
		char *bigger = arena_alloc(text->arena, room);

		if (text->size)
			memcpy(bigger, text->bytes, text->size);
		text->bytes = bigger;
		text->room = room;
	}
	if (size)
		memcpy(text->bytes + text->size, bytes, size);
	text->size += size;
	text->bytes[text->size] = '\0';
}

void text_printf(struct text *text, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);

	const char *added = arena_vprintf(text->arena, format, arguments);

	va_end(arguments);
	text_add(text, added, strlen(added));
}
