/* What the loader hands to the kernel, and what both have of their own. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct boot {
	char *heap;
	uint64_t heap_size;
};

/* the kernel's calling convention is its own, not the firmware's */
typedef void kernel_entry(const struct boot *);

/* compilers call these even without a library */
void *memset(void *, int, size_t);
void *memcpy(void *, const void *, size_t);
