/* Words in which the grammar is written. Numbers of calls are those of the headers; an architecture that has no call of
 * that name leaves the name, and newer calls have the same number on all (asm-generic/unistd.h, from 403 on).
 */
#ifndef SIS_FUZZ_CALLS_H
#define SIS_FUZZ_CALLS_H

#include <sys/syscall.h>

#include "fuzz.h"

#define TEXT_OF(number) #number
#define TEXT(number) TEXT_OF(number)
#define CALL(name, ...) {#name, TEXT(__NR_##name), 0, 0, {__VA_ARGS__}}
#define GIVES(name, objects, ...) {#name, TEXT(__NR_##name), 0, objects, {__VA_ARGS__}}
#define NEWER(name, number, ...) {#name, TEXT(__NR_##name), number, 0, {__VA_ARGS__}}
#define NEWER_GIVES(name, number, objects, ...) {#name, TEXT(__NR_##name), number, objects, {__VA_ARGS__}}
#define CALLS(name, table) const struct fuzz_calls name = {table, sizeof table / sizeof *table}

#define LIST(...) sizeof((const uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t), (const uint32_t[]){__VA_ARGS__}
#define FLAGS(...) {VALUE_FLAGS, LIST(__VA_ARGS__)}
#define ONE(...) {VALUE_ONE, LIST(__VA_ARGS__)}
#define COMMAND(...) {VALUE_COMMAND, LIST(__VA_ARGS__)}
#define BITS4 FLAGS(0, 1, 2, 4, 8)
#define BITS8 FLAGS(0, 1, 2, 4, 8, 16, 32, 64, 128)
#define STRUCT(size) {VALUE_STRUCT, size, NULL}
#define FD(objects) {VALUE_FD, objects, NULL}
#define ANY_FD FD(OBJECT_ANY)
#define FILE_FD FD(OBJECT_FILE)
#define SOCKET_FD FD(OBJECT_SOCKET)
#define PLAIN(kind) {kind, 0, NULL}
#define NUMBER PLAIN(VALUE_NUMBER)
#define SMALL PLAIN(VALUE_SMALL)
#define AT PLAIN(VALUE_AT)
#define PATH PLAIN(VALUE_PATH)
#define NAME PLAIN(VALUE_NAME)
#define WORDS PLAIN(VALUE_TEXT)
#define IN PLAIN(VALUE_IN)
#define OUT PLAIN(VALUE_OUT)
#define SIZE PLAIN(VALUE_SIZE)
#define OFFSET PLAIN(VALUE_OFFSET)
#define POINTER PLAIN(VALUE_POINTER)
#define TIME PLAIN(VALUE_TIME)
#define ADDRESS PLAIN(VALUE_ADDRESS)
#define SPAN PLAIN(VALUE_SPAN)
#define SOCKADDR PLAIN(VALUE_SOCKADDR)
#define VECTOR PLAIN(VALUE_VECTOR)
#define MESSAGE PLAIN(VALUE_MESSAGE)
#define PID PLAIN(VALUE_PID)
#define ID PLAIN(VALUE_ID)
#define SIGNAL PLAIN(VALUE_SIGNAL)
#define MODE ONE(0, 0400, 0600, 0644, 0700, 0777, 01777, 04755, 02755, 0100600, 0010600, 0140600)
#define ZERO ONE(0)

#endif
