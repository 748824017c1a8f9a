"""What is fuzzed: functions of bytes that raise nothing, whatever the bytes are.

Each reads the bytes as hpcwatch does and shows what it found as hpcwatch does. The errors that a
reader documents are what it is to raise; their words are text that is printed.
"""

from __future__ import annotations

import base64
import gzip
import json
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from export_scenes import families as openmetrics_families
from history_scenes import js1, sacct_job, sacct_step, sacct_text
from program import ROOT

from hpcwatch import config
from hpcwatch.analysis import advice
from hpcwatch.analysis.advice_track import tracks
from hpcwatch.analysis.costs import Rates
from hpcwatch.analysis.history import Hours, Totals, hours_of
from hpcwatch.analysis.history_groups import Groups
from hpcwatch.analysis.report import Report
from hpcwatch.base.clean import clean
from hpcwatch.base.errors import HpcwatchError
from hpcwatch.cluster.job_script import directives
from hpcwatch.cluster.schedulers import NAMES, dialect, start_moab, start_slurm
from hpcwatch.cluster.schedulers.history import PastJob
from hpcwatch.cluster.schedulers.job import Job
from hpcwatch.cluster.schedulers.jobstats import jobstats
from hpcwatch.cluster.schedulers.query import Answer
from hpcwatch.cluster.schedulers.request import needs_of
from hpcwatch.cluster.schedulers.slurm_past import Reader
from hpcwatch.cluster.transport.intake import Intake, Names
from hpcwatch.cluster.transport.ssh_answer import Subject, parsed
from hpcwatch.cluster.transport.ssh_config import host_options
from hpcwatch.export import past
from hpcwatch.monitor import event_file
from hpcwatch.monitor import report as reading
from hpcwatch.probe.decode import build
from hpcwatch.probe.encode import to_plain
from hpcwatch.probe.schema import Sample, from_line
from hpcwatch.recording.previous_runs import earlier_runs
from hpcwatch.recording.store import RunDirectory, event_from, packed
from hpcwatch.sweep import joblog, outcome
from hpcwatch.views import advice as ledger
from hpcwatch.views.jobs import (
    history_data,
    history_groups,
    history_table,
    jobs_table,
    loss,
    to_json,
)
from hpcwatch.views.jobs.flags import flags_of
from hpcwatch.views.jobs.history_table import Shown
from hpcwatch.views.report import formats
from hpcwatch.views.report.advice import outcome as outcome_words
from hpcwatch.views.text import render

sys.path.insert(0, str(ROOT / "tests" / "parse"))
from parse_parts import AT_S, PARSERS, Parse

DATA = ROOT / "tests" / "parse" / "data"
NOW_S = AT_S + 60.0
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class Target(NamedTuple):
    """Something to feed."""

    feed: Callable[[bytes], None]
    seeds: Callable[[], Sequence[bytes]]
    """Sound inputs, or such as were recorded."""


def shown(text: str) -> None:
    """Fail if printing this would do more to a terminal than write letters."""
    found = _CONTROL.search(text)
    assert found is None, f"{found[0]!r} is printed: {text[max(found.start() - 60, 0) :][:120]!r}"


def _complained(error: HpcwatchError) -> None:
    """What the command line prints of an error goes through ``clean``; it says something."""
    assert error.message
    shown(clean(str(error)))


def _files(pattern: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted(DATA.glob(pattern))]


def _answers(parsers: Sequence[Parse], data: bytes) -> None:
    """Feed every parser of a scheduler, with exit code 0 and 1."""
    for parse in parsers:
        for code in (0, 1):
            try:
                found = parse(Answer(data, b"", code, AT_S, "qstat"))
            except HpcwatchError as error:
                _complained(error)
                continue
            if isinstance(found, tuple) and found and isinstance(found[0], Job):
                _jobs_shown(found)


def _jobs_shown(jobs: tuple[Job, ...]) -> None:
    rows = [
        jobs_table.JobRow(job, flags_of(job, NOW_S)) for job in jobs_table.ordered(list(jobs))[:100]
    ]
    for row in jobs_table.lines("jobs", rows, NOW_S, 100):
        shown(render(row, False))
    json.loads(to_json.to_json("alice", "slurm", rows, NOW_S))
    for said in loss.lines(jobs[:100], NOW_S, "alice"):
        shown(said)
    for job in jobs[:20]:
        kept = _kept(job)  # a time out of range is unknown from then on
        assert _kept(kept) == kept
        assert kept.id == job.id
        if job.scheduler in NAMES:
            requests = dialect(job.scheduler).requests
            asked = requests.read(job, {})
            needs = needs_of(job)
            more = needs._replace(nodes_count=2, node_cores_count=4, node_memory_bytes=1 << 30)
            requests.edit(asked.lines, needs, more)
            for directive in asked.lines:
                shown(directive)


def _kept(job: Job) -> Job:
    """Write a job as a recording does, and read it."""
    made: Job = build(Job, json.loads(json.dumps(to_plain(job))))
    return made


def _scheduler(folder: str) -> Target:
    parsers = list(dict.fromkeys(parse for _, parse in PARSERS[folder]))
    return Target(lambda data: _answers(parsers, data), lambda: _files(f"{folder}/*.txt"))


def _script(data: bytes) -> None:
    """Feed the reader of a job's script, and each scheduler's reader and editor of its lines."""
    text = data.decode("utf-8", "replace")
    for name in NAMES:
        requests = dialect(name).requests
        lines = directives(text, requests.PREFIX)
        for line in lines or ():
            shown(line.replace("\t", " "))
        job = Job("1", name, script_lines=lines, node_cores_count=8, walltime_s=3600)
        asked = requests.read(job, {}).lines
        needs = needs_of(job)
        requests.edit(asked, needs, needs._replace(node_cores_count=2, walltime_s=60))


_DEMO = ROOT / "hpcwatch" / "demos" / "memory"


class Recording:
    """A recording of which one file is fed."""

    def __init__(self, folder: Path) -> None:
        """``folder`` is private to us and empty."""
        self._folder = folder / "runs" / "fed"
        self._folder.mkdir(parents=True, mode=0o700)
        samples = (_DEMO / "samples.jsonl").read_bytes().splitlines(keepends=True)
        told = [
            {"at_s": json.loads(samples[1])["at_s"], "name": name, "fields": fields}
            for name, fields in (
                ("phase begin", {"phase": "train", "pid": 7}),
                ("epoch", {"epoch": 1, "accuracy": 0.9, "duration_s": 4.0}),
                ("signal", {"signal": "SIGTERM (15)"}),
            )
        ]
        self.sound = {
            "run.json": (_DEMO / "run.json").read_bytes(),
            "samples.jsonl": b"".join(samples[:12]),
            "events.jsonl": "".join(json.dumps(one) + "\n" for one in told).encode(),
        }
        self._write("", b"")
        made = reading.load(RunDirectory(str(self._folder)))
        plain = json.loads("".join(formats.pieces(made, "json")))
        needs = {"nodes_count": 1, "node_cores_count": 4, "node_memory_bytes": 1 << 34}
        less = {**needs, "node_cores_count": 1}
        fixed = [{"place_count": 0, "label": "--n", "value": 5.0}]
        plain["prediction"] = {
            "requested": needs, "suggested": less, "memory_bytes": 1 << 32, "wall_s": 60.0,
            "cores": 1.5, "runs_count": 3, "risk": 0.05, "fixed": fixed,
        }  # fmt: skip
        self.sound["report.json"] = json.dumps(plain, indent=1).encode()
        self._scripts_count = "".join(formats.pieces(made, "html")).count("<script")

    def _write(self, name: str, data: bytes) -> None:
        for one, sound in self.sound.items():
            (self._folder / one).write_bytes(data if one == name else sound)

    def feed(self, name: str, data: bytes) -> None:
        """Put the bytes in the place of a file, and take every way to look at the recording."""
        self._write(name, data)
        self._look(RunDirectory(str(self._folder)))

    def packed(self) -> Target:
        """Return the recording as one file as a target."""
        one = RunDirectory(str(self._folder.parent / "one"))
        run, report = (json.dumps(json.loads(self.sound[f"{x}.json"])) for x in ("run", "report"))
        sound = packed(run, report, self.sound["events.jsonl"], self.sound["samples.jsonl"])

        def feed(data: bytes) -> None:
            Path(one.packed).write_bytes(data)
            self._look(one)

        return Target(feed, lambda: [sound])

    def _look(self, directory: RunDirectory) -> None:
        try:
            made = reading.load(directory)
        except HpcwatchError as error:
            _complained(error)
            return
        _ledger(made, directory)
        exported = "".join(past.pieces(directory))
        shown(exported)
        assert openmetrics_families(exported), "Prometheus' own parser reads it"
        earlier = earlier_runs(made.run)
        for form in ("text", "markdown", "csv"):
            shown("".join(formats.pieces(made, form, earlier)))
        json.loads("".join(formats.pieces(made, "json", earlier)))
        page = "".join(formats.pieces(made, "html", earlier))
        assert page.count("<script") == self._scripts_count, "a script of another's"

    def target(self, name: str) -> Target:
        """Return a file as a target."""
        return Target(lambda data: self.feed(name, data), lambda: [self.sound[name]])


def _ledger(made: Report, directory: RunDirectory) -> None:
    """Take the recording as the run before one of the same work."""
    before = reading.past_of(directory, made.run)
    if before is None or made.run.job is None:
        return
    later = made.run._replace(id="later", started_at_s=made.run.started_at_s + 1e4)
    told = advice.made(later, made.run.job, before.observed, [before])
    if told.check is not None:
        shown(clean(outcome_words(told.check)))
    followed = [before, before._replace(run=later)]
    for line in (*ledger.summary(tracks(followed)), *ledger.details(tracks(followed), 80)):
        shown(line)
    json.loads(json.dumps(ledger.to_plain(tracks(followed))))


def _accounts(data: bytes) -> None:
    """Feed the reader of a scheduler's accounts, and every table of past jobs."""
    rates, totals, groups = Rates(0.1, 1.0, "EUR"), Totals(), Groups("name")
    rows: list[tuple[PastJob, Hours]] = []
    for is_last in (True, False):
        reader = Reader(AT_S - 86400, AT_S, is_last, counts_gpus=True)
        pieces = [data[start : start + 100] for start in range(0, len(data), 100)]
        try:
            rows += [(job, hours_of(job, rates)) for job in reader.read(pieces)]
        except HpcwatchError as error:
            _complained(error)
    for job, hours in rows[:200]:
        totals.add(job, hours)
        groups.add(job, hours)
    told = Shown("past jobs", totals, rows[:5], rates.unit, ())
    for line in (
        *history_table.text(rows[:200], told, 100),
        *history_groups.text("name", groups.groups(), told, 80),
    ):
        shown(line)
    for piece in history_data.to_ndjson(history_data.plain_job(*row) for row in rows[:200]):
        json.loads(piece)
    json.dumps([history_data.plain_group(group) for group in groups.groups()], allow_nan=False)


def _comment(data: bytes) -> None:
    """Feed what reads an administrator's comment: as it is, and as what is packed in one."""
    packed = base64.b64encode(gzip.compress(data, 1, mtime=0)).decode()
    for text in (data.decode("utf-8", "replace"), f"JS1:{packed}"):
        told = jobstats(text)
        if told is not None:
            json.dumps(told, allow_nan=False)


def _sacct() -> list[bytes]:
    """Rows of two jobs with steps, one with a comment of jobstats."""
    use = "cpu=01:00:00,mem=1024K,gres/gpuutil=50,gres/gpumem=2G"
    rows = [
        sacct_job("17", AdminComment=js1(_JOBSTATS), AllocTRES="cpu=4,gres/gpu=2,mem=4G,node=1"),
        sacct_step("17.batch", use, MaxRSS="2048K"),
        sacct_job("18_[1-9]", State="CANCELLED by 1000", Start="None", End="Unknown"),
        sacct_job("19+1", State="OUT_OF_MEMORY", Timelimit="UNLIMITED", ExitCode="0:9"),
        sacct_step("19+1.0", "mem=5T", State="OUT_OF_MEMORY", NTasks="8"),
    ]
    return [sacct_text(rows).encode()]


_JOBSTATS = {
    "nodes": {
        "a": {"cpus": 4, "total_time": 3600.5, "used_memory": 1 << 30, "total_memory": 1 << 34,
              "gpu_utilization": {"0": 10, "1": 99.5}, "gpu_used_memory": {"0": 1, "1": 2}},
    },
    "total_time": 3600, "gpus": 2,
}  # fmt: skip


def _starts(data: bytes) -> None:
    """Feed what tells when a request would start."""
    for code in (0, 1):
        for out, err in ((data, b""), (b"", data)):
            answer = Answer(out, err, code, AT_S, "showbf")
            for parse in (start_moab.gaps_from_showbf, start_slurm.query(()).parse):
                try:
                    parse(answer)
                except HpcwatchError as error:
                    _complained(error)


_SHOWBF = (
    b"backfill window (user: 'a' group: 'a' partition: ALL) Mon Nov 23 12:44:27\n\n"
    b" 53 procs available for      00:58:57\n 37 procs available with no timelimit\n"
)
_TEST_ONLY = b"sbatch: Job 17 to start at 2026-11-30T06:10:00 using 4 processors on nodes qb001"


def _event_lines(data: bytes) -> None:
    """Feed both readers of events: of a recording, and of what a program writes."""
    for line in data.split(b"\n"):
        event_from(line)
        told = event_file.parse(line, NOW_S - 60, NOW_S)
        if told is not None:
            assert told.name.isprintable()
            assert NOW_S - 120 <= told.at_s <= NOW_S + 60
            json.dumps(told._asdict())


_EVENTS = (
    b'{"name": "epoch", "at": 1795437827.5, "fields": {"epoch": 3, "loss": 0.5}}\n',
    b'{"epoch": 4, "loss": NaN, "at": 1}\n{"name": "phase begin", "fields": {"phase": "a"}}\n',
)


def _joblog(data: bytes) -> None:
    """Feed the reader of GNU parallel's joblog, and the outcome of a sweep."""
    try:
        rows = joblog.parse(data.decode("utf-8", "surrogateescape"))
    except HpcwatchError as error:
        _complained(error)
        return
    if rows:
        made = outcome.of_joblog("log", rows, "here")
        assert made.end_s - made.start_s < 1e10


_JOBLOG = (
    joblog.HEAD + "\n1\t:\t1700000000.000\t2.5\t0\t0\t0\t0\ttrue\n"
    "2\tqb001\t1700000001.250\t  12.125\t0\t7\t1\t0\tpython a.py --lr 0.1\n"
    "3\t2/alice@qb002\t1700000002.000\t0.001\t0\t0\t0\t9\tsleep 9\n"
)


def _probe(data: bytes) -> None:
    """Feed what takes in a node's answers, in pieces."""
    intake, names = Intake(1.0, Names()), 0
    try:
        for start in range(0, len(data), 4096):
            for sample in intake.take(data[start : start + 4096]):
                assert isinstance(sample, Sample)
                names += len(sample.gpus or ())
                json.dumps(sample)
    except HpcwatchError as error:
        _complained(error)
    for line in data.split(b"\n")[:20]:
        try:
            from_line(line.decode("utf-8", "replace"))
        except ValueError:  # documented
            continue


_SSH = b"""user alice
hostname qb001.cluster
port 22
addressfamily any
connecttimeout none
identityfile ~/.ssh/id_ed25519
identityfile ${HOME}/.ssh/%h-%r-%p
certificatefile ~/.ssh/id-cert.pub
proxyjump bob@login:2222,[fe80::1]:22
proxycommand none
stricthostkeychecking accept-new
userknownhostsfile /home/alice/.ssh/known_hosts ~/.ssh/known_hosts2
globalknownhostsfile /etc/ssh/ssh_known_hosts
hostkeyalgorithms ssh-ed25519,ecdsa-sha2-nistp256
pubkeyacceptedalgorithms ssh-ed25519,rsa-sha2-512
ciphers aes128-ctr,aes256-gcm@openssh.com
macs hmac-sha2-256
identityagent SSH_AUTH_SOCK
revokedhostkeys none
requiredrsasize 1024
controlpath /0123456789abcdef0123456789abcdef01234567
"""


def _ssh(data: bytes) -> None:
    """Feed what reads the answer of ``ssh -G``."""
    try:
        answer = parsed(Subject("qb001"), data.decode("utf-8", "surrogateescape"))
        options = host_options(answer)
    except HpcwatchError as error:
        _complained(error)
        return
    assert isinstance(options.port, int)
    assert 0 < options.port < 65536


_CONFIG = b"""[run]
interval_s = 2.5
[storage]
root = "$HOME/runs"
budget_mb = 64
keep_days = 30
[ssh]
transport = "ssh"
most_at_once = 8
[scheduler]
name = "slurm"
[queues.checkpt]
memory_per_core_gb = 3.2
[costs]
core_hour = 0.02
unit = "EUR"
[findings.cpu-low]
used_share = 0.4
[privacy]
mask = true
"""


def _config(data: bytes) -> None:
    """Feed what reads the configuration: for all commands, and for those that only read."""
    path = Path(os.environ["XDG_CONFIG_HOME"]) / "hpcwatch" / "config.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    try:
        made = config.load()
        assert isinstance(made.rates, Rates)
        made.thresholds_for("checkpt")
    except HpcwatchError as error:
        _complained(error)
    config.load_to_read()


def all_targets(folder: Path) -> dict[str, Target]:
    """Return all targets by name. ``folder`` is for their files."""
    recording = Recording(folder)
    documents = ("run.json", "samples.jsonl", "events.jsonl", "report.json")
    made: dict[str, Target] = {name: _scheduler(name) for name in PARSERS}
    made.update((name, recording.target(name)) for name in documents)
    made["packed"] = recording.packed()
    scripts = [b"#!/bin/sh\n#PBS -l nodes=2:ppn=8,walltime=1:00:00 -q checkpt\n"]
    scripts += [
        b"#!/bin/bash\n#SBATCH -N 2 --ntasks-per-node=8 --mem=4G\n#SBATCH -t 1-00\nsrun a\n"
    ]
    probe = recording.sound["samples.jsonl"]
    made.update(
        {
            "script": Target(_script, lambda: scripts),
            "starts": Target(_starts, lambda: [_SHOWBF, _TEST_ONLY]),
            "accounts": Target(_accounts, _sacct),
            "jobstats": Target(_comment, lambda: [json.dumps(_JOBSTATS).encode()]),
            "event-lines": Target(_event_lines, lambda: _EVENTS),
            "joblog": Target(_joblog, lambda: [_JOBLOG.encode()]),
            "probe": Target(_probe, lambda: [probe]),
            "ssh-G": Target(_ssh, lambda: [_SSH]),
            "config.toml": Target(_config, lambda: [_CONFIG]),
        }
    )
    return made


NAMES_OF_TARGETS: tuple[str, ...] = (
    *PARSERS,
    "run.json",
    "samples.jsonl",
    "events.jsonl",
    "report.json",
    "packed",
    "script",
    "starts",
    "accounts",
    "jobstats",
    "event-lines",
    "joblog",
    "probe",
    "ssh-G",
    "config.toml",
)
