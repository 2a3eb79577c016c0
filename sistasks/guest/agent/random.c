/* Repeatable numbers from the plan's seed. */
#include <fcntl.h>
#include <unistd.h>

#include "sis.h"

void random_seed(struct random_state *state, uint64_t seed)
{
    /* splitmix64 spreads small seeds over the whole state; the state may not be 0 */
    uint64_t z = seed + 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    state->x = (z ^ (z >> 31)) | 1;
}

uint64_t random_next(struct random_state *state)
{
    state->x ^= state->x >> 12;
    state->x ^= state->x << 25;
    state->x ^= state->x >> 27;
    return state->x * 0x2545f4914f6cdd1du;
}

void random_mix_into_kernel(uint64_t seed)
{
    /* clones wake with the random state of their template: without this they would all draw the same */
    int fd = open("/dev/urandom", O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        if (write(fd, &seed, sizeof seed) < 0) {
            channel_text(FRAME_NOTE, "text=seed not mixed into /dev/urandom\n");
        }
        close(fd);
    }
}
