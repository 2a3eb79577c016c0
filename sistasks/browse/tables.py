"""What every table, view and column of the history means, and how its list is sorted: the text of Datasette's pages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

# columns that mean the same wherever they stand
_COMMON: Final = {
    "id": "number of the row, in the order of writing",
    "run_id": "the run",
    "session_id": "the session that the run belongs to",
    "kernel_id": "SHA-256 that identifies the kernel under test",
    "environment_id": "SHA-256 of all that must be equal for two runs to be comparable",
    "suite": "what was run: boot, performance, …",
    "started_at": "when it began (ISO 8601, UTC)",
    "finished_at": "when it ended (ISO 8601, UTC)",
    "created_at": "when it was written (ISO 8601, UTC)",
    "node": "number of the node, from 1; 0 is the cluster as a whole",
    "test": "name of the test",
    "metric": "name of the metric: test.quantity",
    "unit": "unit of every value of the metric",
    "better": "which direction is better: lower or higher",
    "target": "the value that target_statistic must not be worse than; empty: no target",
    "target_statistic": "which statistic the target is for",
    "kernel": "name of the kernel",
    "release": "release of the kernel, as it calls itself",
    "arch": "architecture of the nodes",
    "accel": "QEMU's accelerator: tcg (emulation), kvm or hvf",
    "clock": "virtual: one instruction is one nanosecond, repeatable to the bit; wall: time as it passes",
    "count": "how many samples",
    "mean": "mean of the node's samples",
    "std": "standard deviation of the node's samples",
    "min": "smallest sample of the node",
    "p50": "median of the node's samples",
    "p95": "95th percentile of the node's samples",
    "p99": "99th percentile of the node's samples",
    "max": "largest sample of the node",
    "message": "why it did not go well, in one line",
    "target_met": "whether the metric's target was met: 1, 0, or empty where there is none",
    "duration": "seconds",
    "statistic": "which statistic of the metric was judged: p50, p95 or p99 of each node's samples",
    "outcome": "better, same, worse or unsure",
    "effect": "relative change: 0.031 is +3.1 %",
    "low": "lower end of the effect's interval",
    "high": "upper end of the effect's interval",
    "p": "probability of such a shift by chance",
    "q": "p after accounting for how many metrics were flagged",
    "n": "boots in the baseline",
    "k": "boots in the run",
    "mde": "the smallest relative effect that could have been seen",
    "baseline_value": "median over the baseline's boots, in the metric's unit",
    "value": "median over the run's boots, in the metric's unit",
    "reason": "why, in words",
    "method": "what decided",
    "baseline": "what it was judged against",
    "confirmed": "whether fresh boots of both kernels agreed: 1, 0, or empty where that is not needed",
    "seed": "seed of the random numbers",
    "git_commit": "commit that the kernel was built from",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One table or view as Datasette shows it.

    Attributes:
        title, description: for people.
        columns: name -> what it holds, of every column.
        newest_first: the column by which the list is sorted, the newest first; empty: unsorted.
        sorted_by: the same, the smallest first.
        sortable: columns that a person may sort by: those for which that is quick or the table is small.
        label: the column that stands for a row where other tables name it.
        facets: columns by whose values the list can be narrowed at once.
    """

    title: str
    description: str
    columns: dict[str, str]
    newest_first: str = ""
    sorted_by: str = ""
    sortable: tuple[str, ...] = ()
    label: str = ""
    facets: tuple[str, ...] = ()


def _columns(names: str, **own: str) -> dict[str, str]:
    return {name: own[name] if name in own else _COMMON[name] for name in names.split()}


_SUMMARY: Final = "count mean std min p50 p95 p99 max"
_DETAIL: Final = (
    "statistic outcome baseline_value value effect low high p q n k mde reason method baseline confirmed"
)

TABLES: Final = {
    "runs": Table(
        title="Runs",
        description="One execution of one suite on one cluster.",
        columns=_columns(
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
        columns=_columns(
            "id run_id node test status target_met duration message", status="pass, fail, error or skip"
        ),
        newest_first="id",
        sortable=("id", "run_id", "node", "duration"),
        label="test",
    ),
    "metrics": Table(
        title="Metrics",
        description="What is measured: unit, direction, target and meaning.",
        columns=_columns(
            "name unit better target target_statistic industry minimum_effect description",
            name=_COMMON["metric"],
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
        columns=_columns(
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
        columns=_columns(
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
        columns=_columns(
            "id name release arch git_commit git_parent git_dirty config_sha256 command_line size path",
            id=_COMMON["kernel_id"],
            name=_COMMON["kernel"],
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
        columns=_columns(
            "id arch accel clock boot qemu_version machine cpu_model cpus memory_bytes firmware_sha256 guest_sha256 "
            "host_cpu host_cores detail",
            id=_COMMON["environment_id"],
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
        columns=_columns(
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
        columns=_columns(
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
        columns=_columns(
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
        columns=_columns(
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
        columns=_columns(
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
        columns=_columns(
            "id run_id node kind title report console_offset",
            kind="panic, oops, hang, …",
            title="one line that names it, the same for the same crash",
            report="the lines of the console",
            console_offset="where they begin in the console's log, in bytes",
        ),
        newest_first="id",
        sortable=("id", "run_id", "node"),
        label="title",
        facets=("kind", "title"),
    ),
    "resources": Table(
        title="Resources",
        description="What the nodes, and the host as node 0, used while a run went on.",
        columns=_columns(
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
        columns=_columns(
            "suite run_id started_at run_status kernel release node test status target_met duration message",
            run_status="ok, failed (the kernel under test) or error (the tool or the machine)",
            status="pass, fail, error or skip",
        ),
        sortable=("suite", "run_id", "node", "test", "status", "duration"),
    ),
    "metric_history": Table(
        title="History of every metric",
        description="What every node has measured, with all that is needed to read it. Narrow it to one metric.",
        columns=_columns(
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
        columns=_columns(f"suite run_id started_at kernel release metric {_DETAIL} created_at"),
        sortable=("suite", "run_id", "metric", "outcome", "effect", "mde"),
    ),
    "noise": Table(
        title="Noise",
        description="How far equal boots of one kernel in one environment lie apart, of the newest good runs with "
        "3,000 boots in all. The query “Noise and detectable effect” ranks it.",
        columns=_columns(
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
