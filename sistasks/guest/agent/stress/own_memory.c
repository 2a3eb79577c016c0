/* Stressors of processor, memory, virtual memory and files: what was written is what is read. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "own.h"

#define SIDE 24
#define REGION_SHARE 3     /* of the available memory */
#define REGION_MOST (256u << 20)
#define WINDOW (1u << 20)
#define BLOCKS 32
#define PAGES_BYTES (256u << 10)
#define FILE_BYTES (64u << 10)

static enum outcome compare(struct bench *bench, const void *memory, size_t bytes, uint64_t seed, const char *where)
{
    size_t at = 0;
    if (pattern_holds(memory, bytes, seed, &at)) {
        return OWN_GOOD;
    }
    return own_word(bench, OWN_WRONG, "%s: byte %zu of %zu is not what was written", where, at, bytes);
}

static void plant(struct bench *bench, void *memory, size_t bytes)
{
    if (own_flip(bench)) {
        ((unsigned char *)memory)[bytes / 2] ^= 1;
    }
}

/* the product of two matrices, rows first and columns first, modulo 2^32 */
enum outcome own_arithmetic(struct bench *bench)
{
    static uint32_t a[SIDE][SIDE], b[SIDE][SIDE], one[SIDE][SIDE], other[SIDE][SIDE];
    for (int i = 0; i < SIDE; i++) {
        for (int j = 0; j < SIDE; j++) {
            a[i][j] = (uint32_t)random_next(&bench->random);
            b[i][j] = (uint32_t)random_next(&bench->random);
        }
    }
    memset(one, 0, sizeof one);
    memset(other, 0, sizeof other);
    for (int i = 0; i < SIDE; i++) {
        for (int k = 0; k < SIDE; k++) {
            for (int j = 0; j < SIDE; j++) {
                one[i][j] += a[i][k] * b[k][j];
            }
        }
    }
    plant(bench, one, sizeof one);
    for (int j = 0; j < SIDE; j++) {
        for (int i = 0; i < SIDE; i++) {
            for (int k = 0; k < SIDE; k++) {
                other[i][j] += a[i][k] * b[k][j];
            }
        }
    }
    if (memcmp(one, other, sizeof one) != 0) {
        return own_word(bench, OWN_WRONG, "two ways to multiply give two products");
    }
    return OWN_GOOD;
}

/* a share of the memory, every part of which is written, read, and written anew */
enum outcome own_patterns(struct bench *bench)
{
    if (bench->memory == NULL) {
        struct memory memory = {0};
        memory_read(&memory);
        uint64_t bytes = memory.available / REGION_SHARE;
        bench->size = (size_t)(bytes < REGION_MOST ? bytes : REGION_MOST) / WINDOW * WINDOW;
        bench->memory =
            mmap(NULL, bench->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (bench->size == 0 || bench->memory == MAP_FAILED) {
            return own_word(bench, OWN_NO_ROOM, "no memory");
        }
        for (size_t at = 0; at < bench->size; at += WINDOW) {
            pattern_fill((char *)bench->memory + at, WINDOW, at);
        }
    }
    size_t at = (size_t)(random_next(&bench->random) % (bench->size / WINDOW)) * WINDOW;
    char *window = (char *)bench->memory + at;
    plant(bench, window, WINDOW);
    enum outcome outcome = compare(bench, window, WINDOW, at, "memory");
    pattern_fill(window, WINDOW, at);
    return outcome;
}

enum outcome own_blocks(struct bench *bench)
{
    void *blocks[BLOCKS];
    size_t sizes[BLOCKS];
    uint64_t seed = random_next(&bench->random);
    enum outcome outcome = OWN_GOOD;
    unsigned count = 0;
    for (; count < BLOCKS; count++) {
        sizes[count] = 8 * (1 + (size_t)(random_next(&bench->random) % 4096));
        blocks[count] = malloc(sizes[count]);
        if (blocks[count] == NULL) {
            outcome = own_word(bench, OWN_NO_ROOM, "malloc has nothing left");
            break;
        }
        pattern_fill(blocks[count], sizes[count], seed + count);
    }
    for (unsigned i = 0; i < count; i++) {
        if (outcome == OWN_GOOD) {
            outcome = compare(bench, blocks[i], sizes[i], seed + i, "a block");
        }
        free(blocks[i]);
    }
    return outcome;
}

enum outcome own_pages(struct bench *bench)
{
    uint64_t seed = random_next(&bench->random);
    char *pages = mmap(NULL, PAGES_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED) {
        return own_word(bench, OWN_NO_ROOM, "mmap has nothing left");
    }
    pattern_fill(pages, PAGES_BYTES, seed);
    plant(bench, pages, PAGES_BYTES);
    void *moved = mremap(pages, PAGES_BYTES, 2 * PAGES_BYTES, MREMAP_MAYMOVE);
    enum outcome outcome = OWN_GOOD;
    if (moved == MAP_FAILED) {
        outcome = own_word(bench, errno == ENOSYS ? OWN_LACKING : OWN_NO_ROOM, "mremap: %m");
    } else {
        pages = moved;
        mprotect(pages, 2 * PAGES_BYTES, PROT_READ);
        outcome = compare(bench, pages, PAGES_BYTES, seed, "pages that moved");
        for (size_t i = PAGES_BYTES; outcome == OWN_GOOD && i < 2 * PAGES_BYTES; i++) {
            if (pages[i] != 0) {
                outcome = own_word(bench, OWN_WRONG, "a fresh page is not empty");
            }
        }
    }
    munmap(pages, moved == MAP_FAILED ? PAGES_BYTES : 2 * PAGES_BYTES);
    return outcome;
}

/* what one process writes after a fork the other does not see */
enum outcome own_fork(struct bench *bench)
{
    static uint64_t page[512];
    int status, ends[2];
    size_t where;
    uint64_t seed = random_next(&bench->random);
    pattern_fill(page, sizeof page, seed);
    if (pipe(ends) != 0) {
        return own_word(bench, OWN_NO_ROOM, "no pipes");
    }
    pid_t child = fork();
    if (child == 0) {
        char byte;
        close(ends[1]);
        if (read(ends[0], &byte, 1) < 0) {
            _exit(2);
        }
        _exit(pattern_holds(page, sizeof page, seed, &where) ? 0 : 1);
    }
    close(ends[0]);
    memset(page, 0x55, sizeof page);
    plant(bench, page, sizeof page);
    close(ends[1]);
    if (child < 0) {
        return own_word(bench, OWN_NO_ROOM, "fork: %m");
    }
    waitpid(child, &status, 0);
    if (WIFSIGNALED(status)) { /* for want of memory it is killed, and dies of nothing else */
        enum outcome outcome = WTERMSIG(status) == SIGKILL ? OWN_NO_ROOM : OWN_WRONG;
        return own_word(bench, outcome, "a child died of signal %d", WTERMSIG(status));
    }
    for (size_t i = 0; i < sizeof page; i++) {
        if (((unsigned char *)page)[i] != 0x55) {
            return own_word(bench, OWN_WRONG, "a page after fork is not what its owner wrote");
        }
    }
    if (WEXITSTATUS(status) != 0) {
        return own_word(bench, OWN_WRONG, "a child sees what its parent wrote after fork");
    }
    return OWN_GOOD;
}

static enum outcome write_file(struct bench *bench, const char *path, const char *bytes)
{
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) {
        return own_word(bench, OWN_NO_ROOM, "open: %m");
    }
    ssize_t count = write(fd, bytes, FILE_BYTES);
    close(fd);
    return count == FILE_BYTES ? OWN_GOOD : own_word(bench, OWN_NO_ROOM, "write: %m");
}

/* what was written by write is what is read through a mapping, and the other way round */
enum outcome own_cache(struct bench *bench)
{
    static char bytes[FILE_BYTES] __attribute__((aligned(8)));
    char path[64];
    uint64_t seed = random_next(&bench->random);
    snprintf(path, sizeof path, "%s/cache", bench->stress->folder);
    pattern_fill(bytes, sizeof bytes, seed);
    enum outcome outcome = write_file(bench, path, bytes);
    int fd = outcome == OWN_GOOD ? open(path, O_RDWR | O_CLOEXEC) : -1;
    char *mapped = fd >= 0 ? mmap(NULL, FILE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) : MAP_FAILED;
    if (mapped != MAP_FAILED) {
        plant(bench, mapped, FILE_BYTES);
        outcome = compare(bench, mapped, FILE_BYTES, seed, "a file through its mapping");
        pattern_fill(mapped, FILE_BYTES, ~seed);
        if (outcome == OWN_GOOD && pread(fd, bytes, FILE_BYTES, 0) == FILE_BYTES) {
            outcome = compare(bench, bytes, FILE_BYTES, ~seed, "a file that was written through its mapping");
        }
        munmap(mapped, FILE_BYTES);
    } else if (outcome == OWN_GOOD) {
        outcome = own_word(bench, OWN_NO_ROOM, "mmap of a file: %m");
    }
    if (fd >= 0) {
        close(fd);
    }
    unlink(path);
    return outcome;
}

enum outcome own_files(struct bench *bench)
{
    static char bytes[FILE_BYTES] __attribute__((aligned(8)));
    char first[64], second[64];
    struct stat status;
    uint64_t seed = random_next(&bench->random);
    snprintf(first, sizeof first, "%s/first", bench->stress->folder);
    snprintf(second, sizeof second, "%s/second", bench->stress->folder);
    pattern_fill(bytes, sizeof bytes, seed);
    enum outcome outcome = write_file(bench, first, bytes);
    if (outcome != OWN_GOOD) {
        return outcome;
    }
    if (rename(first, second) != 0 || stat(second, &status) != 0 || stat(first, &status) == 0) {
        return own_word(bench, OWN_WRONG, "a file is not where it was renamed to");
    }
    memset(bytes, 0, sizeof bytes);
    int fd = open(second, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || read(fd, bytes, FILE_BYTES) != FILE_BYTES) {
        outcome = own_word(bench, OWN_WRONG, "a file cannot be read again: %m");
    } else {
        plant(bench, bytes, FILE_BYTES);
        outcome = compare(bench, bytes, FILE_BYTES, seed, "a file that was renamed");
    }
    if (fd >= 0) {
        close(fd);
    }
    if (unlink(second) != 0 || access(second, F_OK) == 0) {
        return own_word(bench, OWN_WRONG, "a file is there after it was removed");
    }
    return outcome;
}
