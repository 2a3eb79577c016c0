/* A system call fuzzer: a grammar of calls (calls_*.c), values for their arguments (values.c), things to use them on
 * (objects.c), and a process that does it (episode.c). All that is drawn comes from a seed.
 */
#ifndef SIS_FUZZ_H
#define SIS_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../sis.h"

#define FUZZ_ARGUMENTS 6
#define FUZZ_POOL 48
#define FUZZ_DOORS 64
#define FUZZ_PATH 160
/* the same on every boot: what is drawn as an address must not depend on where the kernel puts things */
#if __SIZEOF_POINTER__ == 8
#define FUZZ_ARENA 0x1000000000ul
#else
#define FUZZ_ARENA 0x20000000ul
#endif
#define FUZZ_WORK (FUZZ_ARENA + 0x1000000ul)
#define FUZZ_ARENA_PAGES 32u
#define FUZZ_WORK_PAGES 24u

/* what a descriptor is of, as bits */
enum fuzz_object {
    OBJECT_FILE = 1 << 0,
    OBJECT_FOLDER = 1 << 1,
    OBJECT_PIPE = 1 << 2,
    OBJECT_SOCKET = 1 << 3,
    OBJECT_EVENT = 1 << 4, /* eventfd, timerfd, signalfd, inotify, fanotify, userfaultfd */
    OBJECT_POLL = 1 << 5,
    OBJECT_KERNEL = 1 << 6, /* of /proc, /sys, /dev */
    OBJECT_MEMORY = 1 << 7,
    OBJECT_RING = 1 << 8,
    OBJECT_RULES = 1 << 9, /* bpf, landlock, perf, pidfd */
    OBJECT_ANY = (1 << 10) - 1,
};

enum fuzz_kind {
    VALUE_NONE,
    VALUE_NUMBER,  /* any: edges, and all in between */
    VALUE_SMALL,   /* 0 to 15 */
    VALUE_FLAGS,   /* some of the list's bits, now and then others */
    VALUE_ONE,     /* one of the list */
    VALUE_FD,      /* of these objects, as a rule */
    VALUE_AT,      /* a folder's descriptor, or the current folder */
    VALUE_PATH,
    VALUE_NAME,    /* of an attribute, a key, a file system */
    VALUE_TEXT,    /* what files of the kernel take: a letter, or a word */
    VALUE_IN,      /* bytes to be read by the kernel */
    VALUE_OUT,     /* room for bytes from it */
    VALUE_SIZE,    /* of such room */
    VALUE_OFFSET,  /* in a file */
    VALUE_POINTER, /* to a number: a size, or an offset */
    VALUE_STRUCT,  /* so many bytes of words that are likely to mean something */
    VALUE_TIME,    /* a timespec of little, or of nonsense */
    VALUE_ADDRESS, /* in the arena, where anything may be unmapped */
    VALUE_SPAN,    /* bytes from there */
    VALUE_SOCKADDR,
    VALUE_VECTOR,  /* of a few iovec */
    VALUE_MESSAGE, /* a msghdr, with descriptors on it now and then */
    VALUE_PID,
    VALUE_ID,      /* of a user or a group */
    VALUE_SIGNAL,
    VALUE_COMMAND, /* of ioctl */
};

struct fuzz_value {
    uint16_t kind;
    uint16_t count; /* of the list; a structure's bytes; objects */
    const uint32_t *values;
};

struct fuzz_call {
    const char *name;
    const char *number; /* what the headers make of __NR_name: a sum, or the name where they have none */
    uint16_t newer;     /* the number of a call that is the same everywhere and that headers may be too old for; else 0 */
    uint16_t gives;     /* objects that its result is a descriptor of; 0: it is none */
    struct fuzz_value arguments[FUZZ_ARGUMENTS];
};

struct fuzz_calls {
    const struct fuzz_call *calls;
    size_t count;
};
extern const struct fuzz_calls fuzz_files, fuzz_network, fuzz_memory, fuzz_process;

/* what the process and the agent both see; it tells the agent where the process is, and outlives it */
struct fuzz_progress {
    volatile uint32_t next;     /* the call that is made next */
    volatile uint32_t accepted; /* calls that did not return an error */
    volatile uint32_t lives;    /* processes that it took */
    volatile uint32_t escaped;  /* it could do what only root can */
    volatile uint64_t digest;   /* FNV-1a of calls and what they returned */
    volatile uint64_t finished;
};

struct fuzz_descriptor {
    int fd;
    unsigned objects;
};

/* one process of an episode */
struct fuzz {
    struct random_state random;
    struct fuzz_descriptor pool[FUZZ_POOL];
    unsigned pooled;
    uintptr_t work; /* where the next value of this call goes */
};

/* values.c */
uint32_t fuzz_below(struct fuzz *fuzz, uint32_t limit);
bool fuzz_one_in(struct fuzz *fuzz, uint32_t times);
uint64_t fuzz_number(struct fuzz *fuzz);
uintptr_t fuzz_value(struct fuzz *fuzz, const struct fuzz_value *value);
bool fuzz_map(void);

/* objects.c */
void fuzz_find_doors(void); /* what everybody may write to, once, as root */
unsigned fuzz_doors(void);
const char *fuzz_path(struct fuzz *fuzz);
void fuzz_make_objects(struct fuzz *fuzz, unsigned count);
void fuzz_pool(struct fuzz *fuzz, int fd, unsigned objects);
int fuzz_descriptor(struct fuzz *fuzz, unsigned objects);

/* episode.c */
unsigned fuzz_know_calls(void); /* how many of the grammar's calls this architecture has */
struct fuzz_episode {
    uint64_t seed; /* of the node's plan */
    uint32_t number, calls;
    const char *canary; /* a file that only root may open */
};
/* never returns: makes the calls from progress->next on, as nobody */
void fuzz_live(const struct fuzz_episode *episode, struct fuzz_progress *progress) __attribute__((noreturn));

#endif
