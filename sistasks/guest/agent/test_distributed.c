/* network, consensus, election, partition: this node is one replica of many. What it does to whom is told by the plan; when to
 * begin and to end is told by the host, which also breaks the network between the replicas.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "replica/internal.h"
#include "replica/network.h"
#include "sis.h"

#define SECRET 16u

static enum treason treason_of(const char *name)
{
    static const struct {
        const char *name;
        enum treason treason;
    } all[] = {{"silent", SILENT}, {"equivocate", EQUIVOCATE}, {"corrupt", CORRUPT},       {"replay", REPLAY},
               {"late", LATE},     {"flood", FLOOD},           {"false_view", FALSE_VIEW}, {"forge", FORGE}};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        if (strcmp(name, all[i].name) == 0) {
            return all[i].treason;
        }
    }
    return LOYAL;
}

static int nibble(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* keys=: for each node in order the secret that this one shares with it, SECRET bytes as hexadecimal digits */
static bool read_keys(void)
{
    static char text[NODES_MAX * SECRET * 2 + 1];
    if (!plan_value("keys", text, sizeof text) || strlen(text) != (size_t)cluster.count * SECRET * 2) {
        return false;
    }
    for (unsigned node = 1; node <= cluster.count; node++) {
        uint8_t secret[SECRET];
        for (unsigned i = 0; i < SECRET; i++) {
            const char *digits = text + ((size_t)(node - 1) * SECRET + i) * 2;
            int high = nibble(digits[0]), low = nibble(digits[1]);
            if (high < 0 || low < 0) {
                return false;
            }
            secret[i] = (uint8_t)(high << 4 | low);
        }
        hmac_prepare(&cluster.keys[node], secret, sizeof secret);
    }
    return true;
}

/* `<test>_<key>=`: what holds for one test only */
static uint64_t number_for(const char *test, const char *key)
{
    char name[64];
    snprintf(name, sizeof name, "%.30s_%.30s", test, key);
    return plan_number(name);
}

static bool read_cluster(const struct plan *plan, const char *test, char *problem, size_t size)
{
    char treason[32] = "", key[64];
    cluster.self = plan->node;
    cluster.count = (unsigned)plan_number("count");
    if (cluster.count < 2 || cluster.count > NODES_MAX || plan->node == 0 || plan->node > cluster.count) {
        snprintf(problem, size, "the plan makes this node %u of %u", plan->node, cluster.count);
        return false;
    }
    cluster.faulty = (cluster.count - 1) / 3;
    cluster.quorum = (unsigned)plan_number("quorum");
    cluster.seed = plan_number("cluster_seed");
    cluster.timeout_ns = number_for(test, "timeout_ms") * 1000000u;
    cluster.pipeline = (unsigned)plan_number("pipeline");
    cluster.decisions = (uint32_t)number_for(test, "decisions");
    cluster.network = (uint32_t)plan_number("network");
    cluster.report_ns = plan_number("report_ms") * 1000000u;
    cluster.authenticate = plan_number("authenticate") != 0;
    snprintf(key, sizeof key, "%.30s_treason", test);
    (void)plan_value(key, treason, sizeof treason);
    cluster.treason = treason_of(treason);
    if (cluster.quorum == 0) {
        cluster.quorum = cluster.count - cluster.faulty;
    }
    if (cluster.pipeline == 0) {
        cluster.pipeline = 1;
    }
    if (cluster.timeout_ns == 0 || cluster.report_ns == 0 || !read_keys()) {
        snprintf(problem, size, "the plan has no timeouts, or no keys");
        return false;
    }
    return true;
}

static const char *replicate(const struct plan *plan, const struct protocol *which, const char *test,
                             const char *metric, char *problem, size_t size)
{
    if (!read_cluster(plan, test, problem, size) ||
        !network_up(cluster.network, cluster.self, cluster.count, problem, size) ||
        !replica_run(which, test, metric, problem, size)) {
        return STATUS_ERROR;
    }
    return STATUS_PASS;
}

static const struct protocol *chosen(void)
{
    char name[32] = "";
    (void)plan_value("protocol", name, sizeof name);
    return strcmp(name, "hotstuff") == 0 ? &hotstuff : &pbft;
}

const char *test_network(const struct plan *plan, char *problem, size_t size)
{
    return replicate(plan, &ping, "network", "network.round_trip", problem, size);
}

const char *test_consensus(const struct plan *plan, char *problem, size_t size)
{
    return replicate(plan, chosen(), "consensus", "consensus.latency", problem, size);
}

const char *test_partition(const struct plan *plan, char *problem, size_t size)
{
    return replicate(plan, chosen(), "partition", "partition.latency", problem, size);
}

const char *test_election(const struct plan *plan, char *problem, size_t size)
{
    return replicate(plan, &election, "election", "election.latency", problem, size);
}
