/* The heap: free blocks in a list by address, the first that is large enough is taken, neighbours are joined. */
#include "kernel.h"

struct block {
	uint64_t size; /* with this head */
	struct block *next;
};

enum { GRAIN = sizeof(struct block) };
static struct block *first;

void heap_start(char *memory, uint64_t size)
{
	first = (struct block *)memory;
	*first = (struct block){size, NULL};
}

void *allocate(uint64_t size)
{
	size = (size + 2 * GRAIN - 1) / GRAIN * GRAIN;
	for (struct block **at = &first; *at; at = &(*at)->next) {
		struct block *block = *at;
		if (block->size < size)
			continue;
		if (block->size - size >= 2 * GRAIN) {
			struct block *rest = (struct block *)((char *)block + size);
			*rest = (struct block){block->size - size, block->next};
			*at = rest;
			block->size = size;
		} else {
			*at = block->next;
		}
		return block + 1;
	}
	return NULL;
}

static void join(struct block *block)
{
	if (block->next && (char *)block + block->size == (char *)block->next) {
		block->size += block->next->size;
		block->next = block->next->next;
	}
}

void release(void *memory)
{
	struct block *block = (struct block *)memory - 1, *before = NULL;
	for (struct block *at = first; at && at < block; at = at->next)
		before = at;
	block->next = before ? before->next : first;
	if (before)
		before->next = block;
	else
		first = block;
	join(block);
	if (before)
		join(before);
}

uint64_t heap_free(void)
{
	uint64_t most = 0;
	for (struct block *at = first; at; at = at->next)
		most = at->size > most ? at->size : most;
	return most;
}
