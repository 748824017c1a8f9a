"""qshow's layout from our own sampling: the known sample again, and what its parser reads of it."""

from __future__ import annotations

from pathlib import Path

from hpcwatch.analysis.timeline import Timeline
from hpcwatch.base.units import GIB, MIB
from hpcwatch.cluster.schedulers import qshow
from hpcwatch.cluster.schedulers.job import Coverage, Job, JobNode, JobState, Usage
from hpcwatch.cluster.schedulers.query import Answer
from hpcwatch.monitor.node_status import NodeState, NodeStatus
from hpcwatch.probe.schema import JobUse, Node, Process, Sample
from hpcwatch.views.report.qshow import qshow_text

SAMPLE = Path(__file__).parents[1] / "parse" / "data" / "moab" / "qshow-305669.txt"
STARTED_S = 1_500_000_000.0
JOB = Job(
    id="305669.qb3",
    scheduler="torque",
    name="cnn.tf.gpu",
    queue="k40",
    nodes=("qb002",),
    cores_count=20,
    node_cores_count=20,
    started_at_s=STARTED_S,
    state=JobState.RUNNING,
    owner="fchen14",
    account="loni_loniadmin1",
    allocation=(JobNode("qb002", 20),),
)
DAY_S = 86400.0


def python(cpu_s: float, **fields: object) -> Process:
    known = Process(
        pid=21270,
        ppid=21200,
        name="python",
        state="S",
        user="fchen14",
        cpu_user_s=cpu_s,
        cpu_system_s=0.0,
        rss_bytes=1646 * MIB,
        virtual_bytes=170335 * MIB,
    )
    return known._replace(**fields)  # type: ignore[arg-type]


SCRIPT = python(1.0, pid=21200, name="305669", rss_bytes=MIB, virtual_bytes=103 * MIB)


def sample(second: float, processes: list[Process], host: str = "qb002", **use: float) -> Sample:
    cpu_s = sum((one.cpu_user_s or 0.0) for one in processes)
    base = {"process_count": 4, "cpu_user_s": cpu_s, "cpu_system_s": 0.0, "rss_bytes": 1647 * MIB}
    return Sample(
        host=host,
        at_s=STARTED_S + second,
        uptime_s=24.5 * DAY_S + second,
        node=Node(cpu_count=20, load_1min_count=0.32),
        job=JobUse("cgroup", **{**base, **use}),  # type: ignore[arg-type]
        processes=processes,
    )


def seen(*samples: Sample, job: Job = JOB) -> Timeline:
    timeline = Timeline(10.0, job)
    timeline.add_all(samples)
    return timeline


def known_case() -> Timeline:
    """What the sample was printed from, as far as it tells: two cores busy after three minutes."""
    return seen(
        sample(170.0, [python(359.5), SCRIPT]),
        sample(180.0, [python(380.0), SCRIPT]),
    )


def parsed(text: str) -> qshow.Qshow:
    found = qshow.parse(Answer(text.encode()))
    assert found is not None
    return found


def test_the_known_sample_comes_out_again() -> None:
    printed = qshow_text(JOB, known_case())
    known = SAMPLE.read_text().splitlines()
    # The largest process of the sample is another user's, which no one but root may look into.
    known[6] = known[6].replace(
        "msun:python:qb002:169456M:1190M", "fchen14:python:qb002:170335M:1646M"
    )
    assert printed.splitlines() == known


def test_its_parser_reads_it_back() -> None:
    found = parsed(qshow_text(JOB, known_case()))
    known = parsed(SAMPLE.read_text())
    assert found == known


def test_a_node_that_was_never_read_is_unknown_and_not_idle() -> None:
    two = JOB._replace(nodes=("qb002.loni.org", "qb003"), cores_count=40)
    text = qshow_text(two, known_case())
    assert "nodes: 2\n" in text
    assert "\nqb003 - - - -\n" in text
    found = parsed(text)
    assert (found.nodes_count, found.unused_nodes_count, found.node_cores_count) == (2, 0, 20)
    assert found.cpu_mean_pct == 205
    assert found.cpu_hours is None, "the other node may have used any time"


def test_the_scheduler_s_account_stands_in_for_nodes_that_do_not_answer() -> None:
    two = JOB._replace(nodes=("qb002", "qb003"), usage=Usage(Coverage.JOB, cpu_s=7200))
    assert parsed(qshow_text(two, known_case())).cpu_hours == 2
    first = two._replace(usage=Usage(Coverage.FIRST_NODE, cpu_s=7200))
    assert parsed(qshow_text(first, known_case())).cpu_hours is None


def test_a_lost_node_is_unknown_whatever_it_said() -> None:
    lost = NodeStatus("qb002", NodeState.LOST, 0.0)
    text = qshow_text(JOB, known_case(), [lost])
    assert "\nqb002 - - - -\n" in text
    assert "avg_cpu=- avg_mem=- avg_vmem=- top_proc=- topppm=- node_processes=-" in text.replace(
        "\n", " "
    )
    stale = lost._replace(state=NodeState.STALE)
    assert "\nqb002 24 0.32 205 4 " in qshow_text(JOB, known_case(), [stale])


def test_nothing_known_is_dashes_and_no_zero() -> None:
    bare = Job(id="4711", scheduler="slurm")
    text = qshow_text(bare, Timeline(1.0, bare))
    found = parsed(text)
    assert found == qshow.Qshow("4711", (), nodes_count=0)
    assert "user=- allocation=- queue=- total_load=- cpu_hours=- wall_hours=-" in text


def test_several_nodes_are_summed_and_averaged() -> None:
    two = JOB._replace(nodes=("n1", "n2"), cores_count=8, node_cores_count=4, allocation=())
    halves = [
        sample(second, [python(cpu_s, rss_bytes=rss)], host, rss_bytes=rss)
        for host, rate, rss in (("n1", 3.0, 3 * GIB), ("n2", 0.001, GIB))
        for second, cpu_s in ((100.0, 3600.0), (200.0, 3600.0 + 100 * rate))
    ]
    found = parsed(qshow_text(two, seen(*halves, job=two)))
    assert [node.cpu_pct for node in found.nodes] == [300, 0]
    assert found.unused_nodes_count == 1
    assert found.cpu_mean_pct == 150
    assert found.memory_mean_bytes == 2 * GIB
    assert found.load_mean == 0.32
    assert found.cpu_hours == 2.08
    assert "total_load=0.64" in qshow_text(two, seen(*halves, job=two))


def test_processes_of_a_name_are_one() -> None:
    many = [python(720.0, pid=pid, rss_bytes=100 * MIB, virtual_bytes=GIB) for pid in range(2, 18)]
    (node,) = parsed(qshow_text(JOB, seen(sample(10.0, many)))).nodes
    (process,) = node.processes
    assert process.memory_bytes == round(1.6 * GIB)
    assert (process.vmem_bytes, process.cpu_hours) == (16 * GIB, 3.2)


def test_hostile_names_stay_one_word() -> None:
    odd = python(1.0, name="a b:c=d\n\x1b[31m\u202e", user="u ser")
    job = JOB._replace(owner="x y=1", queue="q\nPBS_job=0", account=None)
    text = qshow_text(job, seen(sample(1.0, [odd])))
    assert "\x1b" not in text
    assert "\u202e" not in text
    found = parsed(text)
    assert found.nodes[0].processes[0].command == r"a_b_c_d\n\x1b[31m\u202e"
    assert (found.job_id, found.user, found.queue) == ("305669.qb3", "x_y_1", r"q\nPBS_job_0")
    assert found.allocation is None


def test_wall_hours_are_what_the_scheduler_counts() -> None:
    timeline = Timeline(1.0, JOB)
    timeline.add(sample(7200.0, [python(1.0)]))
    suspended = JOB._replace(elapsed_s=3600.0, elapsed_at_s=STARTED_S + 7200.0)
    assert "wall_hours=1.00" in qshow_text(suspended, timeline)
    assert "wall_hours=2.00" in qshow_text(JOB, timeline)
