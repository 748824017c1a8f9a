"""Nodes that say what real ones say: `python feeding.py SOCKET NODES INTERVAL_S`.

A process of its own, so that what it costs is not taken for the login side's. Each connection to
the socket is a node; every interval it writes one sample, spread evenly over the interval.
"""

from __future__ import annotations

import socket
import sys
import time

from hpcwatch.probe.schema import Gpu, GpuProcess, JobUse, Node, Process, Sample, to_line

GIB = 1 << 30
CORES = 20
PROCESSES = 16


def sample(node: int, second: float, host: str, at_s: float) -> Sample:
    """A sample as large as those of a node with 20 cores, 4 GPUs and 16 named processes."""
    busy = CORES * (0.1 + 0.8 * (node % 10) / 10)
    cpu_s = busy * second
    return Sample(
        host=host,
        at_s=at_s,
        uptime_s=1e6 + second,
        node=Node(
            cpu_count=CORES,
            cpu_user_s=cpu_s,
            cpu_system_s=0.1 * cpu_s,
            cpu_iowait_s=1.0,
            core_busy_s=[busy / CORES * second + core for core in range(CORES)],
            runnable_count=int(busy),
            blocked_count=0,
            load_1min_count=busy,
            memory_total_bytes=126 * GIB,
            memory_available_bytes=100 * GIB - node * 1000,
            memory_cached_bytes=10 * GIB,
            swap_used_bytes=0,
            net_received_bytes=int(3e6 * second),
            net_sent_bytes=int(4e6 * second),
        ),
        job=JobUse(
            found_by="cgroup",
            process_count=PROCESSES,
            seen_count=PROCESSES,
            thread_count=64,
            runnable_count=int(busy),
            cpu_user_s=0.95 * cpu_s,
            cpu_system_s=0.05 * cpu_s,
            rss_bytes=20 * GIB,
            pss_bytes=18 * GIB,
            used_bytes=18 * GIB,
            read_bytes=int(1e6 * second),
            written_bytes=int(2e6 * second),
            allowed_cores=CORES,
        ),
        processes=[process(number, second) for number in range(PROCESSES)],
        gpus=[gpu(node, index) for index in range(4)],
    )


def line(node: int, second: float) -> bytes:
    """What a probe writes of it."""
    return (to_line(sample(node, second, "itself", time.time())) + "\n").encode()


def process(number: int, second: float) -> Process:
    return Process(
        pid=1000 + number,
        ppid=1,
        name="python3",
        state="R",
        user="alice",
        started_at_s=1.7e9,
        cpu_user_s=second,
        cpu_system_s=0.1 * second,
        thread_count=4,
        rss_bytes=GIB,
        pss_bytes=GIB,
        peak_bytes=GIB,
        virtual_bytes=10 * GIB,
        allowed_cores=CORES,
        read_bytes=1 << 20,
        written_bytes=1 << 21,
    )


def gpu(node: int, index: int) -> Gpu:
    return Gpu(
        index=index,
        uuid=f"GPU-{node:04}-{index}",
        name="NVIDIA H100",
        util_pct=77.0,
        util_max_pct=99.0,
        util_zero_pct=1.0,
        memory_used_bytes=10 * GIB,
        memory_total_bytes=80 * GIB,
        power_w=300.0,
        power_limit_w=700.0,
        temperature_celsius=60.0,
        energy_j=1e6,
        processes=[GpuProcess(1000 + index, 10 * GIB)],
    )


def main() -> None:
    path, nodes, interval_s = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen(nodes)
    links = [server.accept()[0] for _ in range(nodes)]
    started_s = time.monotonic()
    for node, link in enumerate(links):
        link.sendall(line(node, 1.0))
    turn = 0
    while True:
        turn += 1
        for node, link in enumerate(links):
            due_s = started_s + interval_s * (turn + node / nodes)
            time.sleep(max(due_s - time.monotonic(), 0.0))
            try:
                link.sendall(line(node, due_s - started_s + 1.0))
            except OSError:
                return


if __name__ == "__main__":
    main()
