#include "stress.h"

/* splitmix64: each word can be made without those before it */
static uint64_t word(uint64_t seed, size_t place)
{
    uint64_t z = seed + (place + 1) * 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    return z ^ (z >> 29);
}

void pattern_fill(void *memory, size_t bytes, uint64_t seed)
{
    uint64_t *at = memory;
    for (size_t i = 0; i < bytes / sizeof *at; i++) {
        at[i] = word(seed, i);
    }
}

bool pattern_holds(const void *memory, size_t bytes, uint64_t seed, size_t *where)
{
    const uint64_t *at = memory;
    for (size_t i = 0; i < bytes / sizeof *at; i++) {
        if (at[i] != word(seed, i)) {
            *where = i * sizeof *at;
            return false;
        }
    }
    return true;
}
