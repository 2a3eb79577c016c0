/* control.c: the host's words to a node of a network, `SISCTL <number> <words>` as UDP datagrams that the switch delivers
 * whatever else it does to frames. The host says a word again until it is answered, and each is obeyed once. */
#ifndef CONTROL_H
#define CONTROL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* address of the network in host order; this node has network + node */
bool control_open(uint32_t network, unsigned node);
int control_socket(void);
void control_close(void);
/* Answers what has come with an event. True: it is a new word, and `words` has what follows its number. What was heard
 * stays heard when the socket is closed: the same word again may lie in the network over a test's end. */
bool control_hear(char *words, size_t size);

#endif
