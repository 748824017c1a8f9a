"""Asking a Prometheus: safe queries, a table of presets, hostile answers. No server of its own."""

from __future__ import annotations

import json
import socket
import threading
import time
from typing import Any

import pytest
from exporter_servers import Asked, says, serving

from hpcwatch.base.errors import HpcwatchError
from hpcwatch.cluster.prometheus.api import MOST_SERIES, Series, Server, Span
from hpcwatch.cluster.prometheus.asking import Asker, JobAsked
from hpcwatch.cluster.prometheus.presets import CGROUP, GPU, MOUNT, PRESETS, Family
from hpcwatch.cluster.prometheus.promql import filled, matcher, quoted
from hpcwatch.cluster.prometheus.readings import Readings, device_of
from hpcwatch.config.schema import KEYS
from hpcwatch.probe.schema import Cgroup, Gpu, MountUse

START_S = 1_700_000_000.0
SPAN = Span(START_S, START_S + 600, 60.0)
HEAD = b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n"
JOB = JobAsked("7", ("7",), ("n1",), START_S, START_S + 3600)


def test_no_word_of_a_job_is_a_part_of_the_language() -> None:
    assert quoted('7"} or up #\n\\') == '"7\\u0022\\u007d or up \\u0023\\u000a\\u005c"'
    assert quoted("5[1].qb3") == '"5\\u005b1\\u005d.qb3"'
    assert quoted("\U0001f600é") == '"\\U0001f600\\u00e9"'
    assert matcher("jobid", ["7"]) == 'jobid="7"'
    assert matcher("jobid", ["7.qb3", "7"]) == 'jobid=~"7\\u005c.qb3|7"'


def test_a_query_is_filled_and_its_words_are_put_in_last() -> None:
    query = "a{$JOB}[$W] and b == $NUMBER"
    assert filled(query, "jobid", ["7"], 150.9) == 'a{jobid="7"}[150s] and b == 7'
    assert filled(query, "jobid", ["$W $NUMBER"], 150) == (
        'a{jobid="\\u0024W \\u0024NUMBER"}[150s] and b == -1'
    )


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_names_its_source_and_only_fields_that_there_are(name: str) -> None:
    preset = PRESETS[name]
    assert "/" in preset.source or name == "hpcwatch"
    records: dict[str, Any] = {CGROUP: Cgroup, GPU: Gpu, MOUNT: MountUse}
    for family in preset.families:
        assert family.field in records[family.part]._fields
        assert "$JOB" in family.query
        assert "$W" in family.query
        assert family.query.count("(") == family.query.count(")")
    figures = [(family.part, family.field) for family in preset.families]
    assert len(set(figures)) == len(figures)


def test_the_configuration_offers_the_presets() -> None:
    (key,) = (key for key in KEYS if key.name == "prometheus.preset")
    assert key.choices == tuple(PRESETS)


def series(points: list[tuple[float, float]], **labels: str) -> Series:
    return Series({"instance": "n1.site:9306", **labels}, points)


def test_nodes_that_are_addresses_stay_apart() -> None:
    readings = Readings([], START_S, "them")
    used = Family(CGROUP, "used_bytes", "")
    for name in ("10.0.0.5:9306", "10.0.0.6:9306", "[fe80::1]:9306", "[fe80::2]:9306", "N1.a:1"):
        readings.add(used, [Series({"instance": name}, [(START_S, 1.0)])], ("instance",))
    hosts = [sample.host for sample in readings.samples()]
    assert hosts == ["10.0.0.5", "10.0.0.6", "fe80::1", "fe80::2", "n1"]


def test_a_limit_that_no_job_has_is_unknown() -> None:
    readings = Readings(["n1"], START_S, "them")
    limit, used = Family(CGROUP, "limit_bytes", ""), Family(CGROUP, "used_bytes", "")
    for family, value in ((limit, 0.0), (limit, 50.0), (used, 50.0)):
        readings.add(family, [Series({"instance": "n1"}, [(START_S, value)])], ("instance",))
    (sample,) = readings.samples()
    assert sample.cgroup is not None
    assert (sample.cgroup.limit_bytes, sample.cgroup.used_bytes) == (None, 50)


def test_what_we_publish_as_a_limit_is_no_control_groups() -> None:
    """It may be the node's memory, beyond which nobody is killed by a limit."""
    assert "limit_bytes" not in {family.field for family in PRESETS["hpcwatch"].families}


def test_series_become_samples_of_the_jobs_nodes_alone() -> None:
    readings = Readings(["N1", "n2"], START_S, "them")
    cpu, util = Family(CGROUP, "cpu_s", "", 1e-9), Family(GPU, "util_pct", "")
    readings.add(cpu, [series([(START_S, 1e9), (START_S + 60, 3e9)])], ("instance",))
    readings.add(cpu, [Series({"instance": "n9:1"}, [(START_S, 5.0)])], ("instance",))
    readings.add(cpu, [Series({}, [(START_S, 5.0)])], ("instance",))
    device = {"uuid": "GPU-1", "minor_number": "3", "name": "A100"}
    readings.add(util, [series([(START_S, 40.0), (START_S + 60, 150.0)], **device)], ("instance",))
    first, last = readings.samples()
    assert (first.host, first.at_s, last.uptime_s - first.uptime_s) == ("N1", START_S, 60.0)
    assert first.cgroup is not None
    assert (first.cgroup.cpu_s, first.cgroup.is_job) == (1.0, True)
    assert first.gpus == [Gpu(3, "GPU-1", "A100", util_pct=40.0)]
    assert last.gpus is None  # 150 % is no share


def test_activity_and_traffic_name_their_source() -> None:
    readings = Readings(["n1"], START_S, "them")
    mount = Family(MOUNT, "read_bytes", "")
    readings.add(Family(GPU, "sm_active_pct", "", 100.0), [series([(START_S, 0.5)])], ("instance",))
    readings.add(mount, [series([(START_S, 7.0)], mountpoint="/scratch")], ("instance",))
    readings.add(mount, [series([(START_S, 7.0)], mountpoint="scratch")], ("instance",))
    (sample,) = readings.samples()
    assert sample.gpus is not None
    assert (sample.gpus[0].sm_active_pct, sample.gpus[0].activity_from) == (50.0, "them")
    assert sample.exported is not None
    assert sample.exported.mounts == [MountUse("/scratch", 7)]
    assert sample.exported.mounts_from == "them"


def test_a_device_is_told_by_the_labels_of_each_exporter() -> None:
    of_dcgm = {"gpu": "2", "UUID": "GPU-1", "modelName": "A100", "hpc_job": "7"}
    assert device_of(of_dcgm) == ("GPU-1", 2, "A100")
    part = {**of_dcgm, "GPU_I_ID": "13", "GPU_I_PROFILE": "1g.5gb"}
    assert device_of(part) == ("GPU-1/13", 2, "A100 MIG 1g.5gb")
    of_ceems = {"uuid": "1009249", "gpuuuid": "GPU-2", "gpuiid": "", "index": "1"}
    assert device_of(of_ceems) == ("GPU-2", 1, "GPU")
    of_slurm_job = {"gpu": "0", "gpu_type": "NVIDIA A100-SXM4-40GB", "slurmjobid": "1"}
    assert device_of(of_slurm_job) == ("0", 0, "NVIDIA A100-SXM4-40GB")


def answered(plain: object) -> bytes:
    return json.dumps({"status": "success", "data": plain}).encode()


def url(server: Asked) -> str:
    return f"http://127.0.0.1:{server.port}"


def asked_of(body: bytes, head: bytes = HEAD) -> list[Series]:
    with serving(says(body, head)) as server:
        return Server(url(server)).range("up", SPAN)


def test_what_is_no_number_or_out_of_the_times_is_unknown() -> None:
    values: list[Any] = [
        [START_S, "1.5"],
        [START_S + 60, "NaN"],
        [START_S + 120, "+Inf"],
        [START_S - 1, "1"],
        [START_S + 601, "1"],
        [START_S + 180, None],
        ["x", "1"],
        [START_S + 240],
        [START_S + 240, 10**400],
        [10**400, "1"],
        7,
        [START_S + 300, "2"],
    ]
    metric = {"instance": "n1", "odd": 5, "long": "x" * 999}
    odd: list[Any] = [7, {}, {"metric": [], "values": []}, {"metric": {}, "values": "x"}]
    result = [{"metric": metric, "values": values}, *odd]
    (found,) = asked_of(answered({"resultType": "matrix", "result": result}))
    assert found.points == [(START_S, 1.5), (START_S + 300, 2.0)]
    assert found.labels == {"instance": "n1", "long": "x" * 256}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"<html>login</html>", "not as a Prometheus does"),
        (b"[" * 100_000, "not as a Prometheus does"),
        (b"[]", "not as a Prometheus does"),
        (b'{"status": "error", "error": "parse \\u001b[2J"}', "refuses the query"),
        (answered({"result": 5}), "too many series"),
        (answered({"result": [{}] * (MOST_SERIES + 1)}), "too many series"),
    ],
)
def test_an_odd_answer_is_one_line(body: bytes, said: str) -> None:
    with pytest.raises(HpcwatchError) as error:
        asked_of(body)
    assert said in str(error.value)
    assert "\x1b" not in str(error.value)
    assert "\n" not in str(error.value)


def test_a_slow_server_ends_with_the_deadline() -> None:
    def drip(connection: socket.socket, over: threading.Event) -> None:
        connection.recv(65536)
        connection.sendall(HEAD)
        while not over.wait(0.01):
            connection.sendall(b" ")

    with serving(drip) as server:
        asking = Server(url(server), deadline_s=0.5)
        started_s = time.monotonic()
        with pytest.raises(HpcwatchError, match=r"did not answer within 0\.\d s"):
            asking.range("up", SPAN)
        assert asking.is_spent
        with pytest.raises(HpcwatchError, match=r"did not answer within 0\.5 s"):
            asking.range("up", SPAN)
        assert time.monotonic() - started_s < 10
        assert server.count == 1


class Clock:
    """A clock that a test sets; it stands in for the module that it is read from."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def monotonic(self) -> float:
        return self.now_s


def test_time_between_two_questions_is_not_the_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading a scheduler's accounts of months takes longer than a server may take."""
    clock = Clock()
    monkeypatch.setattr("hpcwatch.cluster.prometheus.api.time", clock)
    with serving(says(answered({"result": []}), HEAD)) as server:
        asking = Server(url(server), deadline_s=60.0)
        clock.now_s += 3600.0
        assert asking.range("up", SPAN) == []
        clock.now_s += 3600.0
        assert asking.range("up", SPAN) == []
    assert not asking.is_spent


def test_after_a_failure_nothing_more_is_asked_and_what_came_stays() -> None:
    body = answered(
        {"result": [{"metric": {"instance": "n1:9306"}, "values": [[START_S + 3600, "50"]]}]}
    )
    said: list[bytes] = []

    def talk(connection: socket.socket, _: threading.Event) -> None:
        said.append(connection.recv(65536))
        connection.sendall(HEAD + (body if len(said) == 1 else b"no more"))

    with serving(talk) as server:
        found = Asker(url(server), "jobstats").job(JOB)
    assert len(found.samples) == 1
    assert len(said) == 2
    assert "not as a Prometheus does" in found.trouble
    assert found.source == f"Prometheus at {url(server)} (jobstats)"


def test_a_token_is_sent_and_no_address_without_a_preset_is_asked(tmp_path: Any) -> None:
    token = tmp_path / "token"
    token.write_text("s3cret\n")
    token.chmod(0o600)
    heads: list[bytes] = []

    def talk(connection: socket.socket, _: threading.Event) -> None:
        heads.append(connection.recv(65536))
        connection.sendall(HEAD + answered({"result": []}))

    with serving(talk) as server:
        found = Asker(url(server), "dcgm", str(token)).job(JOB, fields=("util_pct",))
    assert (found.samples, found.trouble, len(heads)) == ([], "", 1)
    assert b"Authorization: Bearer s3cret" in heads[0]
    token.chmod(0o644)
    with pytest.raises(HpcwatchError, match="others may read"):
        Asker("http://127.0.0.1:1", "dcgm", str(token))
    with pytest.raises(HpcwatchError, match=r"prometheus\.preset"):
        Asker("http://127.0.0.1:1", "nobody")
    with pytest.raises(HpcwatchError, match="no web address"):
        Asker("ftp://127.0.0.1", "dcgm")
