/* network.c: the node's interface to the switch */
#ifndef NETWORK_H
#define NETWORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bring up the first Ethernet interface: MAC 52:54:77:00:hh:ll and address network + node (a /16), with neighbours
 * 1..count and the host (254.254) known beforehand, so that nobody asks for them. Doing it again is nothing. */
bool network_up(uint32_t network, unsigned node, unsigned count, char *problem, size_t size);
/* its name; empty before it is up */
const char *network_interface(void);

#endif
