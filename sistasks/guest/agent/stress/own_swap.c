/* swap: more memory than there is, by a compressed swap device in memory (zram), where the kernel has one. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/swap.h>
#include <unistd.h>

#include "own.h"

#define DEVICE "/dev/zram0"
#define SIZE "/sys/block/zram0/disksize"
#define WINDOW (1u << 20)
#define STEP 128 /* words */
#define HEADER_MAGIC "SWAPSPACE2"

/* a few words of each page: cheap to write and to look at, and a page that shrinks to next to nothing */
static void fill(uint64_t *at, uint64_t seed)
{
    for (size_t i = 0; i < WINDOW / sizeof *at; i += STEP) {
        at[i] = (seed + i) * 0x9e3779b97f4a7c15u;
    }
}

static bool holds(const uint64_t *at, uint64_t seed)
{
    for (size_t i = 0; i < WINDOW / sizeof *at; i += STEP) {
        if (at[i] != (seed + i) * 0x9e3779b97f4a7c15u) {
            return false;
        }
    }
    return true;
}

/* include/linux/swap.h, union swap_header: version 1, the last page, none bad; the mark ends the first page */
static bool make_swap(int fd, uint64_t bytes)
{
    static char page[65536];
    size_t size = (size_t)sysconf(_SC_PAGESIZE);
    uint32_t version = 1, last = (uint32_t)(bytes / size - 1);
    if (size > sizeof page) {
        return false;
    }
    memcpy(page + 1024, &version, sizeof version);
    memcpy(page + 1028, &last, sizeof last);
    memcpy(page + size - strlen(HEADER_MAGIC), HEADER_MAGIC, strlen(HEADER_MAGIC));
    return pwrite(fd, page, size, 0) == (ssize_t)size && fsync(fd) == 0;
}

static enum outcome open_swap(struct bench *bench, uint64_t bytes)
{
    char text[32];
    modules_load_list("/modules/swap");
    int size = open(SIZE, O_WRONLY | O_CLOEXEC);
    if (size < 0) {
        return own_word(bench, OWN_LACKING, "this kernel has no zram");
    }
    snprintf(text, sizeof text, "%" PRIu64, bytes);
    bool sized = write(size, text, strlen(text)) > 0;
    close(size);
    int device = sized ? open(DEVICE, O_RDWR | O_CLOEXEC) : -1;
    bool made = device >= 0 && make_swap(device, bytes);
    if (device >= 0) {
        close(device);
    }
    if (!made) {
        return own_word(bench, OWN_LACKING, "zram takes no swap space: %m");
    }
    if (swapon(DEVICE, 0) != 0) {
        return own_word(bench, OWN_LACKING, "swapon: %m");
    }
    return OWN_GOOD;
}

/* half as much again as is available: what is not looked at goes to the swap space and comes back from it */
enum outcome own_swap(struct bench *bench)
{
    if (bench->memory == NULL) {
        struct memory memory = {0};
        memory_read(&memory);
        enum outcome outcome = open_swap(bench, memory.total);
        if (outcome != OWN_GOOD) {
            return outcome;
        }
        bench->size = (size_t)(memory.available + memory.available / 2) / WINDOW * WINDOW;
        bench->memory =
            mmap(NULL, bench->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (bench->memory == MAP_FAILED) {
            return own_word(bench, OWN_NO_ROOM, "mmap: %m");
        }
    }
    size_t count = bench->size / WINDOW, number = bench->worker->rounds % count;
    uint64_t *window = bench->memory + number * (WINDOW / sizeof *window);
    if (bench->worker->rounds >= count && !holds(window, number)) {
        return own_word(bench, OWN_WRONG, "memory that was swapped out is not what was written");
    }
    fill(window, number);
    window[0] ^= own_flip(bench);
    return OWN_GOOD;
}

void swap_close(void)
{
    if (swapoff(DEVICE) == 0) {
        int reset = open("/sys/block/zram0/reset", O_WRONLY | O_CLOEXEC);
        if (reset >= 0) {
            if (write(reset, "1", 1) < 0) {
                channel_text(FRAME_NOTE, "text=zram keeps its memory\n");
            }
            close(reset);
        }
    }
}
