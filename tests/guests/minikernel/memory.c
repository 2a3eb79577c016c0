#include "boot.h"

void *memset(void *target, int value, size_t size)
{
	for (char *at = target; size--; at++)
		*at = (char)value;
	return target;
}

void *memcpy(void *target, const void *source, size_t size)
{
	const char *from = source;
	for (char *at = target; size--;)
		*at++ = *from++;
	return target;
}
