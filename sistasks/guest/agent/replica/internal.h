/* What the files around the protocols share with each other, and protocols have no use for. */
#ifndef INTERNAL_H
#define INTERNAL_H

#include "replica.h"

#define DECISION_SIZE 48
#define DECIDED_HERE 0u
#define TAKEN_FROM_OTHERS 1u

/* message types from here on are not the protocol's */
#define TYPE_CATCHUP_ASK 0x40
#define TYPE_CATCHUP_ENTRIES 0x41

/* ledger.c */
void ledger_begin(void);
void ledger_put(const struct command *command, uint32_t round, uint32_t how);
uint32_t ledger_round_at(uint32_t index);
void ledger_sample(int64_t ns); /* a latency that is no command's */
void ledger_report(const char *metric);

/* catchup.c */
void catchup_begin(void);
void catchup_moved(void); /* the ledger has grown */
void catchup_message(unsigned from, uint8_t type, const uint8_t *data, size_t size);
uint64_t catchup_tick(uint64_t now); /* does what is due; when it wants to be called next, 0: never */

/* wire.c */
bool wire_open(uint32_t network); /* address of the network, host order; node n has network + n */
void wire_close(void);
void wire_begin(void);
int wire_socket(void);
/* deliver what has come, about `limit` messages at most; whether there is more to do at once */
bool wire_receive(unsigned limit);
/* to one node as it is, after the traitor's hand */
void wire_emit(unsigned from, unsigned to, uint8_t type, const uint8_t *data, size_t size);

/* traitor.c: what a traitor does with a message on its way; false: nothing is sent now */
void traitor_begin(void);
bool traitor_passes(unsigned to, uint8_t *type, uint8_t *data, size_t *size);
uint64_t traitor_tick(uint64_t now);

/* loop.c */
extern const struct protocol *protocol;
void replica_give_up(const char *problem) __attribute__((noreturn));
/* Wait for the word to start, run until the word to stop, tell all; `metric` names the latencies. False: a problem. */
bool replica_run(const struct protocol *which, const char *test, const char *metric, char *problem, size_t size);

#endif
