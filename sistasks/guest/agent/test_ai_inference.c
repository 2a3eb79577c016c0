/* ai_inference: one forward pass of an int8 multilayer perceptron (64-64-32-10) with fixed weights.
 *
 * Every output is checked against a known digest after its time was taken: a fast wrong answer is a failure.
 * tests/test_inference.py computes the same network apart from this code and compares the digests.
 */
#include <inttypes.h>
#include <stdio.h>

#include "inference_digests.h"
#include "profile.h"
#include "sis.h"

#define IN 64
#define HIDDEN1 64
#define HIDDEN2 32
#define OUT 10
#define WEIGHT_SEED 20240101u
#define WARM_UP 16

static int8_t weights1[HIDDEN1][IN], weights2[HIDDEN2][HIDDEN1], weights3[OUT][HIDDEN2];
static int8_t inputs[INFERENCE_INPUTS][IN];

static void fill(int8_t *at, size_t count, struct random_state *random)
{
    for (size_t i = 0; i < count; i++) {
        at[i] = (int8_t)(random_next(random) >> 56);
    }
}

/* one layer: 32-bit sums, divided by 256 and clamped to 0..127 (ReLU) */
static void layer(const int8_t *weights, const int8_t *in, int8_t *out, int width, int height)
{
    for (int row = 0; row < height; row++) {
        int32_t sum = 0;
        for (int column = 0; column < width; column++) {
            sum += (int32_t)weights[row * width + column] * in[column];
        }
        sum /= 256;
        out[row] = (int8_t)(sum < 0 ? 0 : sum > 127 ? 127 : sum);
    }
}

static void infer(const int8_t *in, int32_t *out)
{
    int8_t hidden1[HIDDEN1], hidden2[HIDDEN2];
    layer(&weights1[0][0], in, hidden1, IN, HIDDEN1);
    layer(&weights2[0][0], hidden1, hidden2, HIDDEN1, HIDDEN2);
    for (int row = 0; row < OUT; row++) {
        int32_t sum = 0;
        for (int column = 0; column < HIDDEN2; column++) {
            sum += (int32_t)weights3[row][column] * hidden2[column];
        }
        out[row] = sum;
    }
}

static uint32_t digest(const int32_t *out)
{
    uint32_t hash = 2166136261u; /* FNV-1a, 32 bit, over the little-endian bytes */
    for (int i = 0; i < OUT * 4; i++) {
        hash = (hash ^ (((uint32_t)out[i / 4] >> (8 * (i % 4))) & 0xff)) * 16777619u;
    }
    return hash;
}

const char *test_ai_inference(const struct plan *plan, char *problem, size_t size)
{
    struct random_state random;
    int32_t out[OUT];
    int64_t *samples = samples_allocate(plan->iterations);
    if (samples == NULL) {
        snprintf(problem, size, "too little memory for %u samples", plan->iterations);
        return STATUS_ERROR;
    }
    random_seed(&random, WEIGHT_SEED);
    fill(&weights1[0][0], sizeof weights1, &random);
    fill(&weights2[0][0], sizeof weights2, &random);
    fill(&weights3[0][0], sizeof weights3, &random);
    fill(&inputs[0][0], sizeof inputs, &random);
    random_seed(&random, plan->seed);
    uint32_t wrong = 0;
    for (uint32_t i = 0; i < WARM_UP + plan->iterations; i++) {
        unsigned which = (unsigned)(random_next(&random) >> 32) % INFERENCE_INPUTS;
        if (i == WARM_UP) {
            PROFILE_MARK(PROFILE_BEGIN, PROFILE_INFERENCE);
        }
        uint64_t start = now_ns();
        infer(inputs[which], out);
        uint64_t end = now_ns();
        wrong += digest(out) != inference_digests[which];
        if (i >= WARM_UP) {
            samples[i - WARM_UP] = (int64_t)(end - start);
        }
    }
    PROFILE_MARK(PROFILE_END, PROFILE_INFERENCE);
    const char *status = STATUS_PASS;
    if (wrong > 0) {
        snprintf(problem, size, "%" PRIu32 " of %" PRIu32 " outputs are wrong", wrong, WARM_UP + plan->iterations);
        status = STATUS_FAIL;
    } else {
        channel_samples("ai_inference.latency", samples, plan->iterations);
    }
    samples_free(samples, plan->iterations);
    return status;
}
