/* Agreement as in PBFT's normal case (Castro and Liskov, "Practical Byzantine Fault Tolerance", 1999, section 4.2).
 * This kernel has no network: all replicas live in its one memory, and their messages go through one queue. */
#include "kernel.h"

enum { ROUNDS = 16, PRE_PREPARE, PREPARE, COMMIT };

struct message {
	uint32_t kind, to;
	uint64_t value;
};

struct replica {
	uint64_t proposed, decided;
	uint32_t prepares, commits;
	bool prepared;
};

static struct message *queue;
static uint64_t head, tail;

static void broadcast(uint32_t kind, uint64_t from, uint64_t nodes, uint64_t value)
{
	for (uint64_t to = 0; to < nodes; to++)
		if (to != from)
			queue[tail++] = (struct message){kind, (uint32_t)to, value};
}

static void take(struct replica *replicas, uint64_t nodes, const struct message *message)
{
	struct replica *self = &replicas[message->to];
	uint64_t faulty = (nodes - 1) / 3;
	if (message->kind == PRE_PREPARE) {
		self->proposed = message->value;
		self->prepares++; /* one's own word counts; the leader's is the proposal itself */
		broadcast(PREPARE, message->to, nodes, message->value);
	}
	self->prepares += message->kind == PREPARE;
	self->commits += message->kind == COMMIT;
	if (self->proposed == message->value && !self->prepared && self->prepares >= 2 * faulty) {
		self->prepared = true;
		self->commits++;
		broadcast(COMMIT, message->to, nodes, message->value);
	}
	if (self->prepared && self->commits >= 2 * faulty + 1)
		self->decided = self->proposed;
}

bool agree(uint64_t node, uint64_t nodes)
{
	struct replica *replicas = allocate(nodes * sizeof *replicas);
	queue = allocate(2 * (nodes + 1) * nodes * sizeof *queue);
	if (!replicas || !queue)
		return false;
	uint64_t took[ROUNDS];
	bool agreed = true;
	for (int round = 0; round < ROUNDS; round++) {
		uint64_t value = random_number() | 1, start = counter();
		memset(replicas, 0, nodes * sizeof *replicas);
		head = tail = 0;
		replicas[node - 1].proposed = value;
		broadcast(PRE_PREPARE, node - 1, nodes, value);
		while (head < tail)
			take(replicas, nodes, &queue[head++]);
		took[round] = counter() - start;
		for (uint64_t i = 0; i < nodes; i++)
			agreed = agreed && replicas[i].decided == value;
	}
	release(queue);
	release(replicas);
	for (int round = 0; round < ROUNDS; round++)
		print("METRIC consensus_us=%m\n", picoseconds(took[round]) / 1000);
	return agreed;
}
