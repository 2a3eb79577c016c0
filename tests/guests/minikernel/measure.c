/* What is measured, with the processor's counter. Each sample is one METRIC line; each test checks what it did: a fast
 * wrong answer fails. */
#include "kernel.h"

enum { SAMPLES = 64, BATCH = 64 };
static uint64_t hz;

void measure_start(void)
{
	hz = counter_hz();
}

uint64_t picoseconds(uint64_t ticks)
{
	/* seconds, nanoseconds and picoseconds apart: their product with one second's ticks would overflow */
	uint64_t nano = ticks % hz * 1000000000;
	return ticks / hz * 1000000000000 + nano / hz * 1000 + nano % hz * 1000 / hz;
}

/* -- inference: a perceptron of 64-32-10, int8 weights, int32 sums ---------------------------------------------- */

enum { IN = 64, HIDDEN = 32, OUT = 10 };
static int8_t first[HIDDEN][IN], second[OUT][HIDDEN];

static void layer(const int8_t *weights, const int8_t *in, int32_t *out, int ins, int outs)
{
	for (int o = 0; o < outs; o++) {
		int32_t sum = 0;
		for (int i = 0; i < ins; i++)
			sum += weights[o * ins + i] * in[i];
		out[o] = sum;
	}
}

static uint32_t infer(const int8_t *in)
{
	int32_t hidden[HIDDEN], out[OUT];
	int8_t active[HIDDEN];
	layer(first[0], in, hidden, IN, HIDDEN);
	for (int i = 0; i < HIDDEN; i++)
		active[i] = (int8_t)(hidden[i] < 0 ? 0 : hidden[i] / 256 > 127 ? 127 : hidden[i] / 256);
	layer(second[0], active, out, HIDDEN, OUT);
	uint32_t digest = 2166136261; /* FNV-1a, by words */
	for (int i = 0; i < OUT; i++)
		digest = (digest ^ (uint32_t)out[i]) * 16777619;
	return digest;
}

bool measure_inference(void)
{
	int8_t in[IN];
	uint32_t state = 1, digest = 0;
	/* weights and inputs that every machine makes alike */
	for (int i = 0; i < HIDDEN * IN + OUT * HIDDEN + IN; i++) {
		state = state * 1664525 + 1013904223;
		int8_t value = (int8_t)(state >> 24);
		if (i < HIDDEN * IN)
			first[0][i] = value;
		else if (i < HIDDEN * IN + OUT * HIDDEN)
			second[0][i - HIDDEN * IN] = value;
		else
			in[i - HIDDEN * IN - OUT * HIDDEN] = value;
	}
	uint64_t took[SAMPLES];
	bool right = true;
	for (int sample = 0; sample < SAMPLES; sample++) {
		uint64_t start = counter();
		digest = infer(in);
		took[sample] = counter() - start;
		right = right && digest == 0xfe17e3f0;
	}
	for (int sample = 0; sample < SAMPLES; sample++)
		print("METRIC ai_inference_us=%m\n", picoseconds(took[sample]) / 1000);
	if (!right)
		print("ERROR: digest %x\n", (uint64_t)digest);
	return right;
}

/* -- context switch: two stacks that call each other ------------------------------------------------------------ */

static void *ours, *other;
static uint64_t visits;

static void pong(void)
{
	for (;;) {
		visits++;
		switch_stack(&other, ours);
	}
}

bool measure_switch(void)
{
	enum { STACK = 16384 };
	char *stack = allocate(STACK);
	if (!stack)
		return false;
	other = new_stack(stack + STACK, pong);
	visits = 0;
	switch_stack(&ours, other);
	uint64_t took[SAMPLES];
	for (int sample = 0; sample < SAMPLES; sample++) {
		uint64_t start = counter();
		for (int i = 0; i < BATCH; i++)
			switch_stack(&ours, other);
		took[sample] = counter() - start;
	}
	release(stack);
	for (int sample = 0; sample < SAMPLES; sample++)
		print("METRIC ctx_switch_ns=%m\n", picoseconds(took[sample]) / (2 * BATCH)); /* there and back */
	return visits == 1 + SAMPLES * BATCH;
}

/* -- memory ------------------------------------------------------------------------------------------------------ */

bool measure_memory(void)
{
	uint64_t took[SAMPLES], free_before = heap_free();
	uint32_t *kept[BATCH];
	bool whole = true;
	for (int sample = 0; sample < SAMPLES; sample++) {
		uint64_t sizes[BATCH];
		for (int i = 0; i < BATCH; i++)
			sizes[i] = 16 + random_number() % 1000;
		uint64_t start = counter();
		for (int i = 0; i < BATCH; i++) {
			kept[i] = allocate(sizes[i]);
			if (!kept[i])
				return false;
			*kept[i] = (uint32_t)i;
		}
		for (int i = 0; i < BATCH; i += 2) {
			whole = whole && *kept[i] == (uint32_t)i;
			release(kept[i]);
		}
		for (int i = 1; i < BATCH; i += 2) {
			whole = whole && *kept[i] == (uint32_t)i;
			release(kept[i]);
		}
		took[sample] = counter() - start;
	}
	for (int sample = 0; sample < SAMPLES; sample++)
		print("METRIC memory_alloc_ns=%m\n", picoseconds(took[sample]) / BATCH);
	return whole && heap_free() == free_before;
}
