/* What the replicated protocols share: one process, one thread, one loop that hands over messages and timers.
 *
 * A protocol is one file. It sends through wire.c (each message authenticated between two nodes), decides into
 * ledger.c (the log and its hash chain), and is told of messages and timers by loop.c. Numbers on the wire are little
 * endian; nodes are numbered from 1.
 */
#ifndef REPLICA_H
#define REPLICA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NODES_MAX 128
#define PAYLOAD_MAX 1408u /* with its header and its MAC a message is one frame of 1500 bytes */
#define DIGEST 32u
#define SHARE 10u /* bytes of one MAC in a vector: 80 bits, the least that RFC 2104 section 5 has */

/* sha256.c: FIPS 180-4 and RFC 2104 */
struct sha256 {
    uint32_t state[8];
    uint64_t length;
    uint8_t block[64];
};
void sha256_begin(struct sha256 *hash);
void sha256_add(struct sha256 *hash, const void *data, size_t size);
void sha256_end(struct sha256 *hash, uint8_t digest[DIGEST]);
void sha256_of(const void *data, size_t size, uint8_t digest[DIGEST]);
/* a key made ready: what of HMAC does not depend on the message */
struct hmac_key {
    uint32_t inner[8], outer[8];
};
void hmac_prepare(struct hmac_key *key, const void *secret, size_t size);
void hmac(const struct hmac_key *key, const void *data, size_t size, uint8_t mac[DIGEST]);

/* What the plan says of this replica and its cluster. */
enum treason {
    LOYAL,
    SILENT,      /* sends nothing */
    EQUIVOCATE,  /* as a leader proposes different things to different nodes, and votes for each */
    CORRUPT,     /* sends digests that are not those of what it names */
    REPLAY,      /* sends old messages again */
    LATE,        /* sends everything late */
    FALSE_VIEW,  /* asks for new views and rounds that nobody needs */
    FLOOD,       /* sends many messages, whole and broken */
    FORGE,       /* speaks in the names of others: harmless but where authentication is off */
};
struct cluster {
    unsigned self;        /* this node, from 1 */
    unsigned count;       /* nodes, n */
    unsigned faulty;      /* f = (n - 1) / 3 */
    unsigned quorum;      /* n - f; a control of the checker may plan less */
    uint64_t seed;        /* of the run, equal for all */
    uint64_t timeout_ns;  /* patience before a leader is given up */
    unsigned pipeline;    /* decisions under way at once, at least 1 */
    uint32_t decisions;   /* commands after which nobody proposes more; 0: no end */
    uint32_t network;     /* address of the network, IPv4 in host order */
    uint64_t report_ns;   /* how often the host hears of progress */
    bool authenticate;
    enum treason treason;
    struct hmac_key keys[NODES_MAX + 1]; /* the secret that is shared with each node */
};
extern struct cluster cluster;

/* wire.c: datagrams. Those that are not whole, not for us or not authentic are counted and dropped. */
struct wire_counters {
    uint64_t sent, received, malformed, forged, unsendable;
};
extern struct wire_counters wire_counters;
/* to one node; `to` may be this node itself: then it comes back through the loop, unauthenticated and uncounted */
void wire_send(unsigned to, uint8_t type, const void *data, size_t size);
/* to every node but this one */
void wire_send_all(uint8_t type, const void *data, size_t size);
/* MACs of a digest, one for each node (self included): what a third node can check for itself. out has count entries,
 * that of node i at i - 1. */
void wire_shares(const uint8_t digest[DIGEST], uint8_t out[][SHARE]);
/* whether `from` has made this share of the digest for us */
bool wire_share_holds(unsigned from, const uint8_t digest[DIGEST], const uint8_t share[SHARE]);

/* ledger.c: what has been decided, in order. Its head is a hash chain:
 * head(0) = SHA-256("sistasks ledger" || seed, 8 bytes), head(i + 1) = SHA-256(head(i) || command i, 32 bytes). */
struct command {
    uint32_t client; /* the node that submits it; 0: no command at all (all bytes 0), which fills a gap */
    uint32_t number; /* of that client's commands, from 1 */
    uint8_t value[24];
};
_Static_assert(sizeof(struct command) == 32, "a command is hashed and sent as it lies");
/* the one value that a client's command of that number may have:
 * first 24 bytes of SHA-256("sistasks command" || seed, 8 || client, 4 || number, 4) */
struct command ledger_command(uint32_t client, uint32_t number);
/* whether it is what its client would submit, or the empty command */
bool ledger_valid(const struct command *command);
bool ledger_has(uint32_t client, uint32_t number); /* decided already */
/* not decided yet, and so near to those that are that the ledger can tell, when it comes again, that it has it: what may
 * be decided now */
bool ledger_open(uint32_t client, uint32_t number);
uint32_t ledger_height(void);                      /* how many are decided: the next has this index */
const struct command *ledger_at(uint32_t index);
const uint8_t *ledger_head(void);
/* this client's next command; its latency counts from this call until the ledger has it */
struct command ledger_submit(void);
uint32_t ledger_submitted(void); /* number of our last command, 0 for none */
/* Decide the command at index ledger_height(). `round`: view or term in which it was decided. Tells catchup.c. */
void ledger_append(const struct command *command, uint32_t round);

/* catchup.c: a replica that has missed decisions takes them from others: an entry that faulty + 1 of them give.
 * It asks by itself when the ledger stands still for half a timeout; a protocol that sees that others are ahead
 * says so. */
void catchup_hint(uint32_t height);

/* loop.c */
#define TIMERS 8 /* of the protocol, numbered from 0 */
void timer_set(unsigned timer, uint64_t at_ns); /* 0: never; fires once */
uint64_t clock_ns(void);                        /* now, of this turn of the loop: no system call */
/* Tell the host, at once: `key=value` lines; at_ns and event are put before. */
void tell(const char *event, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Message types below 0x40 are the protocol's own. */
struct protocol {
    const char *name;
    void (*start)(void); /* forget everything, and begin */
    void (*message)(unsigned from, uint8_t type, const uint8_t *data, size_t size);
    void (*timer)(unsigned timer);
    /* the ledger has grown by what others gave (catchup.c), not by this protocol */
    void (*advanced)(void);
    /* The lies of a traitor: change a message that is on its way to `to` (size may shrink or grow up to PAYLOAD_MAX);
     * return false to send nothing. Called for EQUIVOCATE and CORRUPT. */
    bool (*lie)(unsigned to, uint8_t *type, uint8_t *data, size_t *size);
    /* Called every quarter of a timeout for FALSE_VIEW, FLOOD and FORGE: send what is meant to hurt. A forger sends
     * with wire_forge. */
    void (*attack)(void);
    /* where it stands, for the host: the view or term */
    uint32_t (*round)(void);
};
extern const struct protocol ping, pbft, hotstuff, election;

/* wire.c: as if `from` had sent it; a node that authenticates drops it */
void wire_forge(unsigned from, unsigned to, uint8_t type, const void *data, size_t size);

/* little endian, at any address */
static inline void put_u16(uint8_t *at, uint16_t v)
{
    at[0] = (uint8_t)v;
    at[1] = (uint8_t)(v >> 8);
}
static inline void put_u32(uint8_t *at, uint32_t v)
{
    put_u16(at, (uint16_t)v);
    put_u16(at + 2, (uint16_t)(v >> 16));
}
static inline void put_u64(uint8_t *at, uint64_t v)
{
    put_u32(at, (uint32_t)v);
    put_u32(at + 4, (uint32_t)(v >> 32));
}
static inline uint16_t get_u16(const uint8_t *at)
{
    return (uint16_t)(at[0] | at[1] << 8);
}
static inline uint32_t get_u32(const uint8_t *at)
{
    return (uint32_t)get_u16(at) | (uint32_t)get_u16(at + 2) << 16;
}
static inline uint64_t get_u64(const uint8_t *at)
{
    return (uint64_t)get_u32(at) | (uint64_t)get_u32(at + 4) << 32;
}

#endif
