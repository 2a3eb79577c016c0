"""What every table, view and column of the history means, and how its list is sorted: the text of Datasette's pages."""

from __future__ import annotations

from typing import Final

from sistasks.browse.columns import COMMON, Table, columns

_SUMMARY: Final = "count mean std min p50 p95 p99 max"
_DETAIL: Final = (
    "statistic outcome baseline_value value effect low high p q n k mde reason method baseline confirmed"
)
_FINDING: Final = {
    "node": "number of the node, from 1; 0 is the kernel or the cluster as a whole, or every node alike",
    "rule": "the rule's name, the same in every run",
    "category": "config, image, runtime, fuzz, network or vulnerability",
    "severity": "of a failure: critical, high, medium, low or info",
    "outcome": "pass, fail, skip (it does not apply, or what it needs is not there) or error (it could not be told)",
    "title": "what the rule asks for",
    "evidence": "what was seen",
    "source": "who asks for it",
    "reason": "why",
}

TABLES: Final = {
    "runs": Table(
        title="Runs",
        description="One execution of one suite on one cluster.",
        columns=columns(
            "id session_id suite kernel_id environment_id inputs_sha256 started_at finished_at status nodes iterations "
            "seed message",
            inputs_sha256="SHA-256 of all that the run was made of; a suite runs again only where no good run has it",
            status="ok, failed (the kernel under test) or error (the tool or the machine)",
            nodes="how many nodes",
            iterations="samples of each test on each node",
            seed="the run's seed; a node adds its number",
        ),
        newest_first="id",
        sortable=("id", "suite", "started_at", "finished_at", "status", "nodes", "iterations", "seed"),
        label="suite",
        facets=("suite", "status"),
    ),
    "results": Table(
        title="Results",
        description="How each test ended on each node of each run.",
        columns=columns(
            "id run_id node test status target_met duration message", status="pass, fail, error or skip"
        ),
        newest_first="id",
        sortable=("id", "run_id", "node", "duration"),
        label="test",
    ),
    "metrics": Table(
        title="Metrics",
        description="What is measured: unit, direction, target and meaning.",
        columns=columns(
            "name unit better target target_statistic industry minimum_effect description",
            name=COMMON["metric"],
            industry="what others reach, in words",
            minimum_effect="the smallest relative change worth a verdict: 0.05 is 5 %",
            description="what one sample is",
        ),
        sorted_by="name",
        sortable=("name", "unit", "better", "target"),
        label="name",
    ),
    "summaries": Table(
        title="Summaries",
        description="Each metric on each node of each run, in the metric's unit. Samples of different nodes are never "
        "thrown together.",
        columns=columns(
            f"run_id node metric {_SUMMARY} ci_low ci_high confidence p50_low p50_high p95_low p95_high p99_low "
            "p99_high",
            ci_low="lower end of the mean's confidence interval",
            ci_high="upper end of the mean's confidence interval",
            confidence="level of the intervals: 0.99 is 99 %",
            **{
                f"{statistic}_{end}": f"{word} end of {statistic}'s confidence interval; empty where the node has too "
                "few samples for it, or was written by an older version"
                for statistic in ("p50", "p95", "p99")
                for end, word in (("low", "lower"), ("high", "upper"))
            },
        ),
        newest_first="run_id",
        sortable=("run_id", "node", "mean", "std", "min", "p50", "p95", "p99", "max"),
    ),
    "samples": Table(
        title="Samples",
        description="Every raw sample, packed exactly. SQL reads them with json_each(sample_values(encoding, data, "
        "count)); the query “Samples of one run as a histogram” shows one set.",
        columns=columns(
            "run_id node metric count encoding data",
            encoding="how data is packed",
            data="the samples, in the order of measurement",
        ),
        newest_first="run_id",
        sortable=("run_id", "node", "count"),
    ),
    "kernels": Table(
        title="Kernels",
        description="Kernels under test. Other arguments on the command line make another kernel.",
        columns=columns(
            "id name release arch git_commit git_parent git_dirty config_sha256 command_line size path",
            id=COMMON["kernel_id"],
            name=COMMON["kernel"],
            git_parent="the commit before that one",
            git_dirty="1: built with changes that are in no commit",
            config_sha256="SHA-256 of its configuration",
            command_line="arguments that it is booted with",
            size="bytes",
            path="where the image was",
        ),
        sorted_by="name",
        sortable=("name", "release", "arch", "size"),
        label="name",
        facets=("arch",),
    ),
    "environments": Table(
        title="Environments",
        description="What must be equal for two runs to be comparable. Under the virtual clock the host is no part of "
        "it.",
        columns=columns(
            "id arch accel clock boot qemu_version machine cpu_model cpus memory_bytes firmware_sha256 guest_sha256 "
            "host_cpu host_cores detail",
            id=COMMON["environment_id"],
            boot="direct, or uefi through firmware",
            qemu_version="version of QEMU",
            machine="QEMU's machine type",
            cpu_model="the nodes' processor model",
            cpus="processors of a node",
            memory_bytes="memory of a node in bytes",
            firmware_sha256="SHA-256 of the firmware, where there is one",
            guest_sha256="SHA-256 of the guest (initramfs and agent)",
            host_cpu="the host's processor; empty under the virtual clock",
            host_cores="processors of the host; empty under the virtual clock",
            detail="more of what must be equal, as JSON",
        ),
        sortable=("arch", "accel", "clock", "boot", "qemu_version", "machine", "cpu_model", "cpus"),
        label="clock",
        facets=("arch", "clock", "boot"),
    ),
    "sessions": Table(
        title="Sessions",
        description="One invocation of doit each.",
        columns=columns(
            "id started_at finished_at command host detail",
            id="name of the session: when, and the number of its process",
            command="what was typed",
            host="the machine that it ran on",
            detail="more about it, as JSON",
        ),
        newest_first="started_at",
        sortable=("id", "started_at", "finished_at", "host"),
        label="command",
    ),
    "verdicts": Table(
        title="Verdicts",
        description="How a metric of a run compares with the runs before. A run that was judged again has several; the "
        "newest counts.",
        columns=columns(
            "id run_id metric outcome effect p q n k mde method baseline seed confirmed created_at statistic "
            "baseline_value value low high reason"
        ),
        newest_first="id",
        sortable=("id", "run_id", "outcome", "effect", "p", "q", "mde", "created_at"),
        label="outcome",
        facets=("outcome",),
    ),
    "change_points": Table(
        title="Change points",
        description="Where a metric changed its level, in one environment.",
        columns=columns(
            "id metric statistic environment_id run_id before_run_id effect p n advisory method seed created_at",
            statistic="which statistic of the metric changed: p50, p95 or p99 of each node's samples",
            run_id="the first run after the change",
            before_run_id="the last run before it",
            n="runs in the series",
            advisory="1: worth a look, but no new baseline begins here",
        ),
        newest_first="id",
        sortable=("id", "run_id", "effect", "p", "created_at"),
        label="metric",
    ),
    "annotations": Table(
        title="Annotations",
        description="Remarks of people on a run, a kernel or a metric.",
        columns=columns(
            "id run_id kernel_id metric kind text author created_at",
            kind="accept: baselines begin with this run; other kinds are remarks",
            text="the remark",
            author="who wrote it",
        ),
        newest_first="id",
        sortable=("id", "run_id", "created_at"),
        label="text",
        facets=("kind",),
    ),
    "artifacts": Table(
        title="Artifacts",
        description="Files kept as evidence: logs, core dumps, traces, screenshots, captures.",
        columns=columns(
            "id run_id node kind path size sha256 created_at compressed keep_until detail",
            kind="what it is: log, core dump, trace, screenshot, capture, …",
            path="where it is in the store; the link opens the file",
            size="bytes of the content as it was collected",
            sha256="SHA-256 of the content as it was collected",
            compressed="1: kept as zstd",
            keep_until="doit cleanup leaves it alone until then; empty: as its limits say",
            detail="its name, and more about it, as JSON",
        ),
        newest_first="id",
        sortable=("id", "run_id", "node", "size", "created_at"),
        label="path",
        facets=("kind",),
    ),
    "crashes": Table(
        title="Crashes",
        description="Kernels that panicked, hung or went wrong otherwise, as their consoles tell.",
        columns=columns(
            "id run_id node kind title report console_offset reproducer",
            kind="panic, oops, hang, …",
            title="one line that names it, the same for the same crash",
            report="the lines of the console",
            console_offset="where they begin in the console's log, in bytes",
            reproducer="the episode of fuzzing that doit reproduce plays again; empty where it came in none",
        ),
        newest_first="id",
        sortable=("id", "run_id", "node"),
        label="title",
        facets=("kind", "title"),
    ),
    "profiles": Table(
        title="Profiles",
        description="What was executed in each phase of a test on each node, where profile=yes or the gate counted it.",
        columns=columns(
            "run_id node test phase metrics instructions calls blocks accesses functions encoding data",
            phase="the part of the test that is counted apart",
            metrics="what is measured in it",
            instructions="executed in all samples together",
            calls="of functions, at their beginning",
            blocks="sequences of instructions without a branch",
            accesses="loads from memory and stores to it",
            functions="how many functions there are in data",
            encoding="how data is to be read",
            data="functions and their counts, packed exactly",
        ),
        newest_first="run_id",
        sortable=("run_id", "node", "test", "instructions"),
        facets=("test", "phase"),
    ),
    "functions": Table(
        title="Functions",
        description="Names that profiles refer to; those outside the kernel begin with user:.",
        columns=columns("id name", name="of the function; of a module with the module behind it"),
        newest_first="id",
        sortable=("id", "name"),
        label="name",
    ),
    "findings": Table(
        title="Findings",
        description="What each rule of the security suite came to. The most severe failures of the latest runs: the "
        "query “Failing findings”.",
        columns=columns(
            "id run_id node rule category severity outcome title evidence source reason", **_FINDING
        ),
        newest_first="id",
        sortable=("id", "run_id", "node", "rule"),
        label="rule",
        facets=("severity", "outcome", "category"),
    ),
    "finding_verdicts": Table(
        title="Verdicts on findings",
        description="How what a rule came to compares with the baseline. A run that was judged again has several; the "
        "newest counts.",
        columns=columns(
            "id run_id rule severity outcome was now k n reason baseline created_at",
            rule=_FINDING["rule"],
            severity=_FINDING["severity"],
            outcome="better, same, worse, unsure (one of the two did not find out) or new (the baseline has no such "
            "rule)",
            was="what the rule came to in the baseline, on any node; empty: it was not looked at",
            now="what it came to in the run, on any node; empty: it was not looked at",
            k="on how many nodes it is so, where they differ; empty: all that looked agree",
            n="of how many nodes that told",
            reason="what was seen, and where",
        ),
        newest_first="id",
        sortable=("id", "run_id", "rule", "outcome", "created_at"),
        label="outcome",
        facets=("outcome", "severity"),
    ),
    "resources": Table(
        title="Resources",
        description="What the nodes, and the host as node 0, used while a run went on.",
        columns=columns(
            "run_id node at cpu_percent rss vms read_bytes write_bytes net_rx net_tx threads fds load1 seconds "
            "cpu_peak rss_peak wait_percent memory_percent memory_wait io_wait others_percent steal_percent "
            "net_percent load5 load15 processors busiest",
            node="number of the node, from 1; 0 is the host",
            at="when (ISO 8601, UTC)",
            cpu_percent="processor time: 100 is one processor, of the host all of them",
            rss="resident memory in bytes; of the host, what is not available",
            vms="address space in bytes",
            read_bytes="bytes read from disks since the start",
            write_bytes="bytes written to disks since the start",
            net_rx="bytes received since the start",
            net_tx="bytes sent since the start",
            threads="threads",
            fds="open files",
            load1="load of the host over a minute",
            seconds="how long the row stands for: on a long run rows are merged",
            cpu_peak="the most of cpu_percent in that time",
            rss_peak="the most of rss in that time",
            wait_percent="a processor was wanted and not had: 100 is one thread all the time; of the host, how much of "
            "the time anybody waited",
            memory_percent="rss as a share of the host's memory",
            memory_wait="percent of the time in which anybody on the host waited for memory",
            io_wait="percent of the time in which anybody on the host waited for a disk",
            others_percent="of the host's processors, what neither the nodes nor sistasks used",
            steal_percent="of the host's processors, what the machine below it took",
            net_percent="of what the busiest network card can carry",
            load5="load of the host over 5 minutes",
            load15="load of the host over 15 minutes",
            processors="processors of the host",
            busiest="other programs that used the host's processors",
        ),
        newest_first="run_id",
        sortable=("run_id", "node", "at"),
    ),
    "latest_results": Table(
        title="Latest results",
        description="Every test of the newest run of each suite.",
        columns=columns(
            "suite run_id started_at run_status kernel release node test status target_met duration message",
            run_status="ok, failed (the kernel under test) or error (the tool or the machine)",
            status="pass, fail, error or skip",
        ),
        sortable=("suite", "run_id", "node", "test", "status", "duration"),
    ),
    "metric_history": Table(
        title="History of every metric",
        description="What every node has measured, with all that is needed to read it. Narrow it to one metric.",
        columns=columns(
            "metric unit better run_id started_at suite status kernel_id kernel release environment_id arch accel "
            f"clock node {_SUMMARY} target target_statistic",
            status="ok, failed (the kernel under test) or error (the tool or the machine)",
        ),
        newest_first="run_id",
        sortable=("run_id",),
    ),
    "latest_verdicts": Table(
        title="Latest verdicts",
        description="The newest verdict on each metric of the newest judged run of each suite.",
        columns=columns(f"suite run_id started_at kernel release metric {_DETAIL} created_at"),
        sortable=("suite", "run_id", "metric", "outcome", "effect", "mde"),
    ),
    "latest_findings": Table(
        title="Latest findings",
        description="Every finding of the newest run of each suite that looks for some, with the verdict on it.",
        columns=columns(
            "suite run_id started_at kernel release node rule category severity outcome verdict title evidence reason "
            "source",
            **_FINDING,
            verdict="compared with the baseline: better, same, worse, unsure or new; empty: not judged",
        ),
        sortable=("suite", "run_id", "node", "rule", "category", "severity", "outcome", "verdict"),
    ),
    "noise": Table(
        title="Noise",
        description="How far equal boots of one kernel in one environment lie apart, of the newest good runs with "
        "3,000 boots in all. The query “Noise and detectable effect” ranks it.",
        columns=columns(
            "metric unit suite kernel release kernel_id environment_id runs boots mean_p50 lowest_p50 highest_p50 "
            "deviation spread",
            runs="how many good runs",
            boots="how many boots: nodes of these runs",
            mean_p50="mean of the boots' medians",
            lowest_p50="lowest of the boots' medians",
            highest_p50="highest of the boots' medians",
            deviation="mean distance of the boots' medians from their mean, as a share of it",
            spread="their whole range, as a share of their mean",
        ),
        sortable=("metric", "suite", "boots", "deviation", "spread"),
    ),
}

# tables that are nobody's business: bookkeeping of the migrations
HIDDEN: Final = ("_sqlite_migrations",)
