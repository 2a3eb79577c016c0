/* What a kernel lets others do, by trying, and what it says of itself: parts of the test `hardening`. */
#ifndef HARDENING_H
#define HARDENING_H

#include "../sis.h"

#define NOBODY 65534
#define DETAIL_SIZE 200

/* Something tried in a process of its own; the page is shared with it. */
struct attempt {
    int refused;              /* the errno with which the kernel refused; 0: it was done */
    int signal;               /* that ended it, 0: none */
    char detail[DETAIL_SIZE]; /* what it has to say */
    uint64_t values[4];       /* the same as numbers */
};

/* attempt.c: returns 0, or the errno with which it was refused, or NOT_TRIED with why in `detail` */
typedef int attempted(struct attempt *attempt);
#define NOT_TRIED (-1)
enum who { AS_NOBODY, AS_ROOT };
/* NULL, with the reason in `why`, where it could not be tried; else valid until the next one */
const struct attempt *attempt_run(attempted *what, enum who who, const char **why);
/* the same, and the rule's finding: passes where the kernel refused or sent a signal */
void attempt_must_fail(const char *rule, attempted *what, enum who who, const char *words);
/* what became of it, in words */
const char *attempt_words(const struct attempt *attempt);

/* looking.c: false where the file is not there or says nothing */
bool file_text(const char *path, char *text, size_t size);
bool file_number(const char *path, long long *number);
bool boot_log_line(const char *words, char *line, size_t size); /* the first that has these words */
bool cpu_flag(const char *name);
/* the address of a symbol as root may see it; 0: the kernel does not tell */
uint64_t symbol_address(const char *name);
/* the lowest address that the kernel has given to an area of its own (vmalloc); 0: it does not tell */
uint64_t lowest_area(void);
/* where a part of the kernel lies in physical memory, by its name in /proc/iomem */
bool physical_range(const char *name, uint64_t *first, uint64_t *last);

/* what the agent does when it is started with this argument: it tells where its parts lie */
#define HARDENING_ADDRESSES "--addresses"
int hardening_addresses(void);

/* each tells findings; aslr.c, directory.c, doors.c, files.c, knobs.c, memory.c, processor.c, users.c */
void check_aslr(void);
void check_directory(void);
void check_doors(void);
void check_files(void);
void check_knobs(void);
void check_memory(void);
void check_processor(void);
void check_users(void);

#endif
