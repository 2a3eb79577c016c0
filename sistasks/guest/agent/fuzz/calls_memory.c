/* Address spaces, and pages of others. */
#include "calls.h"

#define PROTECTION FLAGS(0, 1, 2, 4, 1 | 2, 0x01000000)
#define MAPPING FLAGS(1, 2, 3, 0x10, 0x20, 0x100, 0x800, 0x1000, 0x2000, 0x4000, 0x8000, 0x10000, 0x20000, 0x40000, 0x80000, 0x100000)
#define ADVICE ONE(0, 1, 2, 3, 4, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 100, 101)

static const struct fuzz_call CALLS_OF_MEMORY[] = {
    CALL(mmap, ADDRESS, SPAN, PROTECTION, ONE(0x12, 0x11, 0x32, 0x31), FILE_FD, OFFSET),
    CALL(mmap, ADDRESS, SPAN, PROTECTION, MAPPING, ANY_FD, OFFSET),
    CALL(mmap, ZERO, SPAN, PROTECTION, MAPPING, FD(OBJECT_MEMORY | OBJECT_RING | OBJECT_KERNEL), OFFSET),
    CALL(mmap2, ADDRESS, SPAN, PROTECTION, MAPPING, ANY_FD, SMALL),
    CALL(munmap, ADDRESS, SPAN),
    CALL(mprotect, ADDRESS, SPAN, PROTECTION),
    CALL(mremap, ADDRESS, SPAN, SPAN, FLAGS(0, 1, 3, 5, 7), ADDRESS),
    CALL(madvise, ADDRESS, SPAN, ADVICE),
    CALL(mlock, ADDRESS, SPAN),
    CALL(mlock2, ADDRESS, SPAN, ONE(0, 1)),
    CALL(munlock, ADDRESS, SPAN),
    CALL(mlockall, FLAGS(4)),
    CALL(munlockall, ZERO),
    CALL(msync, ADDRESS, SPAN, FLAGS(1, 2, 4)),
    CALL(mincore, ADDRESS, SPAN, OUT),
    CALL(remap_file_pages, ADDRESS, SPAN, ZERO, SMALL, ONE(0, 0x10000)),
    CALL(mbind, ADDRESS, SPAN, SMALL, POINTER, ONE(0, 8, 64), BITS4),
    CALL(get_mempolicy, OUT, OUT, ONE(0, 64, 1024), ADDRESS, BITS4),
    CALL(set_mempolicy, SMALL, POINTER, ONE(0, 8, 64)),
    CALL(migrate_pages, PID, ONE(8, 64), POINTER, POINTER),
    CALL(move_pages, PID, SMALL, STRUCT(64), POINTER, OUT, BITS4),
    CALL(brk, ONE(0, 0, 1, 0x1000)),
    CALL(process_vm_readv, PID, VECTOR, SMALL, VECTOR, SMALL, ZERO),
    CALL(process_vm_writev, PID, VECTOR, SMALL, STRUCT(32), ONE(1, 2), ZERO),
    NEWER(process_madvise, 440, FD(OBJECT_RULES), VECTOR, SMALL, ADVICE, ZERO),
    NEWER(process_mrelease, 448, FD(OBJECT_RULES), ZERO),
    CALL(pkey_alloc, ZERO, ONE(0, 1, 2)),
    CALL(pkey_free, SMALL),
    CALL(pkey_mprotect, ADDRESS, SPAN, PROTECTION, SMALL),
    GIVES(userfaultfd, OBJECT_EVENT, ONE(04000, 04001)),
    NEWER_GIVES(memfd_secret, 447, OBJECT_MEMORY, ONE(0, 02000000)),
    NEWER(set_mempolicy_home_node, 450, ADDRESS, SPAN, SMALL, ZERO),
    NEWER(mseal, 462, ONE(0x1000, 0), SPAN, ZERO),
    NEWER(map_shadow_stack, 453, ADDRESS, SPAN, BITS4),
    CALL(membarrier, FLAGS(0, 1, 2, 4, 8, 16, 32, 64, 128, 256), ONE(0, 1), ZERO),
    CALL(futex, ADDRESS, FLAGS(0, 1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 128, 256), SMALL, TIME, ADDRESS, NUMBER),
    CALL(futex, POINTER, FLAGS(0, 1, 3, 4, 5, 9, 10, 128), SMALL, TIME, POINTER, NUMBER),
    NEWER(futex_waitv, 449, STRUCT(48), ONE(1, 2), ZERO, TIME, ONE(0, 1)),
    NEWER(futex_wake, 454, POINTER, NUMBER, SMALL, BITS8),
    NEWER(futex_requeue, 456, STRUCT(48), ZERO, SMALL, SMALL),
    CALL(set_robust_list, STRUCT(24), ONE(24, 12, 0)),
    CALL(get_robust_list, PID, OUT, OUT),
};
CALLS(fuzz_memory, CALLS_OF_MEMORY);
