"""Tasks that shared a GPU while another GPU of the host was idle, from the tasks' recordings.

A recording lists all GPUs of its host, which processes are on each, and which of those are the
task's. Read bit by bit while a sweep runs, so that its end need not read everything.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from typing import NamedTuple

from hpcwatch.base.reading import Growing
from hpcwatch.probe.schema import Gpu, JobUse, Sample, from_line
from hpcwatch.recording.store import SAMPLES_FILE, RunDirectory
from hpcwatch.sweep.attempts import Attempts, Ended, Started
from hpcwatch.sweep.picture import Picture
from hpcwatch.sweep.slots import Host

STEP_S = 5.0
"""The time resolution of sharing, in s: findings need a minute of it."""
_PAUSE_S = 2 * STEP_S  # a stretch continues over a break this short: work comes in bursts
_LATE_S = 180.0  # older readings of other tasks are ignored
_LONGEST_SPAN_S = 120.0  # a reading describes at most this much time before it
_AT = re.compile(rb'"at_s":([0-9]{1,12}(?:\.[0-9]*)?)')
_HEAD_BYTES = 512  # of a line: its time is near the start


class Reading(NamedTuple):
    """The job's GPUs on a host at one time, from a task's recording. Keys are UUIDs."""

    at_s: float
    span_s: float
    held: frozenset[str]
    """The GPUs that the task itself uses."""
    works: Mapping[str, bool | None]
    """Whether each GPU was active, for any process; None is unknown."""


class Sharing(NamedTuple):
    """A stretch of time in which several tasks used one GPU and another GPU was idle."""

    host: str
    device: str
    idle: str
    """The idle GPU."""
    start_s: float
    shared_s: float
    tasks: tuple[int, ...]


class Watch:
    """Follows the recordings of a sweep's attempts."""

    def __init__(self, folder: str, hosts: Iterable[Host], is_in_job: bool) -> None:
        """Take the hosts with their devices; in a job, other devices may belong to other jobs."""
        self._files = Attempts(folder)
        self._names = {host.name: host.devices for host in hosts}
        self._is_in_job = is_in_job
        self._recordings: dict[tuple[int, int], _Recording] = {}
        self._steps: dict[str, _Steps] = {}
        self._plain_hosts: set[str] = set()
        self._labels: dict[str, str] = {}

    def look(self, picture: Picture) -> list[Sharing]:
        """Read the new samples; return the longest sharing of each GPU so far."""
        several = {place.name for place in picture.places if place.slots_count > 1}
        for some in picture.attempts.values():
            for started, ended in some:
                if started.host in several - self._plain_hosts:
                    self._read(started, ended)
        found = []
        for host, steps in self._steps.items():
            for uuid, stretch in steps.longest().items():
                found.append(stretch.sharing(host, uuid, self._labels))
        return found

    def _read(self, started: Started, ended: Ended | None) -> None:
        key = started.task, started.attempt
        host = started.host
        if key not in self._recordings:
            directory = RunDirectory(self._files.run_folder(*key))
            self._recordings[key] = _Recording(directory, started)
        recording = self._recordings[key]
        if recording.is_read:
            return
        for sample in recording.new():
            gpus = sample.gpus
            if gpus is not None and sum(not gpu.is_divided for gpu in gpus) < 2:
                self._plain_hosts.add(host)
                return
            own = self._own(host, sample)
            if own:
                self._labels.update((gpu.uuid, gpu.label) for gpu in own)
                self._steps.setdefault(host, _Steps()).add(
                    recording, recording.reading(sample, own)
                )
        if ended is not None:
            recording.is_read = True
            recording.end_s = ended.at_s

    def _own(self, host: str, sample: Sample) -> list[Gpu]:
        """Return the job's GPUs; none if they are unknown."""
        whole = [gpu for gpu in sample.gpus or [] if not gpu.is_divided]
        names = self._names.get(host)
        if names:
            return [gpu for gpu in whole if any(is_called(gpu, name) for name in names)]
        allowed = sample.job.allowed_devices if sample.job is not None else None
        if allowed is not None:
            return [gpu for gpu in whole if gpu.device_file in allowed]
        return [] if self._is_in_job else whole


class _Recording:
    """Reads the samples of one attempt as they grow."""

    def __init__(self, directory: RunDirectory, started: Started) -> None:
        self.task, self.start_s = started.task, started.at_s
        self.end_s = math.inf
        self.is_read = False
        self._file = Growing(directory.file(SAMPLES_FILE), instead=directory.packed)
        self._last_s = -STEP_S

    def new(self) -> Iterator[Sample]:
        """Yield the new samples, at most one every few seconds."""
        try:
            # A thinned or packed file is read again from its start: samples older than the last one
            # are skipped.
            for line in self._file.new_lines():
                sample = self._sample(line)
                if sample is not None:
                    yield sample
        except OSError:
            return  # the task is too short to be recorded, or not recorded yet

    def _sample(self, line: bytes) -> Sample | None:
        at = _AT.search(line, 0, _HEAD_BYTES)
        if at is None or float(at[1]) < self._last_s + STEP_S:
            return None
        try:
            return from_line(line.decode())
        except ValueError:
            return None

    def reading(self, sample: Sample, own: Sequence[Gpu]) -> Reading:
        """Return a sample's reading, which describes the time since the previous one."""
        span_s = STEP_S if self._last_s < 0 else min(sample.at_s - self._last_s, _LONGEST_SPAN_S)
        self._last_s = sample.at_s
        pids = {process.pid for process in sample.processes or []}
        held = frozenset(gpu.uuid for gpu in own if _is_on(gpu, pids, sample.job))
        works = {gpu.uuid: _works(gpu, sample) for gpu in own}
        return Reading(sample.at_s, span_s, held, works)

    def covers(self, step: int) -> bool:
        """Return True if it ran during all of a step.

        A task that ends and a task that starts within a step did not run together.
        """
        return self.start_s <= step * STEP_S and (step + 1) * STEP_S <= self.end_s


def is_called(gpu: Gpu, name: str) -> bool:
    """Return True if a word of CUDA_VISIBLE_DEVICES names this device."""
    if gpu.mig is None:
        return name == str(gpu.index) or (name.startswith("GPU-") and gpu.uuid.startswith(name))
    place = f"MIG-{gpu.mig.parent_uuid}/{gpu.mig.gpu_instance_id}/{gpu.mig.compute_instance_id}"
    is_whole = name in (str(gpu.mig.parent_index), gpu.mig.parent_uuid)
    return is_whole or name == place or (name.startswith("MIG-") and gpu.uuid.startswith(name))


def _is_on(gpu: Gpu, pids: set[int], use: JobUse | None) -> bool:
    """Return True if a task is known to use a device.

    This follows from its processes there. Where the driver's pids differ from ours (in a container)
    or are missing, it follows from the only device visible to the task, if it has opened any.
    """
    if any(process.pid in pids for process in gpu.processes or []):
        return True
    if use is None or not use.gpu_signs or gpu.processes == []:
        return False
    shown = use.visible_devices or []
    return len(shown) == 1 and "," not in shown[0] and is_called(gpu, shown[0].strip())


def _works(gpu: Gpu, sample: Sample) -> bool | None:
    """Return whether a device was active since the previous reading; None is unknown."""
    high = gpu.util_max_pct if gpu.util_max_pct is not None else gpu.util_pct
    if sample.window is not None:
        known = sample.window.gauges.get(f"gpu.{gpu.uuid}.util_pct")
        high = known[2] if known is not None else high
    high = gpu.sm_active_pct if high is None else high
    if high is not None:
        return high > 0
    return False if gpu.processes == [] else None


class _Steps:
    """A host's readings in steps of time. Old steps are summed up and dropped."""

    def __init__(self) -> None:
        self._open: dict[int, list[tuple[_Recording, Reading]]] = {}
        self._devices: dict[str, _Device] = {}
        self._settled = -1

    def add(self, recording: _Recording, reading: Reading) -> None:
        """Add a reading to the steps that it describes."""
        last = int(reading.at_s // STEP_S)
        first = min(int((reading.at_s - reading.span_s) // STEP_S) + 1, last)
        for step in range(max(first, self._settled + 1), last + 1):
            self._open.setdefault(step, []).append((recording, reading))

    def longest(self) -> dict[str, _Stretch]:
        """Return for each device the longest stretch in which it was shared."""
        steps = sorted(self._open)
        old = [step for step in steps if (steps[-1] - step) * STEP_S > _LATE_S]
        for step in old:
            _note(self._devices, step, self._open.pop(step))
            self._settled = step
        devices = deepcopy(self._devices)
        for step in steps[len(old) :]:
            _note(devices, step, self._open[step])
        found = {uuid: device.longest() for uuid, device in devices.items()}
        return {uuid: stretch for uuid, stretch in found.items() if stretch is not None}


def _note(
    devices: dict[str, _Device], step: int, some: Sequence[tuple[_Recording, Reading]]
) -> None:
    present = [(one.task, reading) for one, reading in some if one.covers(step)]
    for uuid, tasks, idle, works in _shared_in(present):
        devices.setdefault(uuid, _Device()).note(step, tasks, idle, works)


class _Device:
    """The current stretch, and the longest earlier one."""

    def __init__(self) -> None:
        self._known: list[_Stretch] = []

    def note(self, step: int, tasks: set[int], idle: list[str], works: bool | None) -> None:
        last = self._known[-1] if self._known else None
        if last is None or (step - last.last) * STEP_S > _PAUSE_S:
            before = self.longest()
            last = _Stretch(step)
            self._known = [last] if before is None else [before, last]
        last.add(step, tasks, idle, works)

    def longest(self) -> _Stretch | None:
        # A device that all tasks hold but none uses is not a reason to move a task.
        worked = [stretch for stretch in self._known if stretch.worked]
        return max(worked, key=lambda stretch: stretch.count, default=None)


def _shared_in(
    some: Sequence[tuple[int, Reading]],
) -> Iterator[tuple[str, set[int], list[str], bool | None]]:
    """Yield each shared device of a step, with its tasks, the idle devices and its activity."""
    on: dict[str, set[int]] = {}
    works: dict[str, bool | None] = {}
    for task, reading in some:
        for uuid in reading.held:
            on.setdefault(uuid, set()).add(task)
        for uuid, at_work in reading.works.items():
            known = works.get(uuid)
            works[uuid] = at_work if known is None else known or bool(at_work)
    for uuid, tasks in on.items():
        idle = [other for other, at_work in works.items() if at_work is False and other != uuid]
        if len(tasks) > 1 and idle:
            yield uuid, tasks, idle, works.get(uuid)


class _Stretch:
    """Steps that follow one another."""

    def __init__(self, first: int) -> None:
        self.first = self.last = first
        self.count = 0
        self.worked = False
        self._tasks: set[int] = set()
        self._idle: Counter[str] = Counter()

    def add(self, step: int, tasks: set[int], idle: list[str], works: bool | None) -> None:
        self.last = step
        self.count += 1
        self.worked = self.worked or works is not False
        self._tasks |= tasks
        self._idle.update(idle)

    def sharing(self, host: str, uuid: str, labels: Mapping[str, str]) -> Sharing:
        idle = self._idle.most_common(1)[0][0]
        tasks = tuple(sorted(self._tasks))
        start_s, shared_s = self.first * STEP_S, self.count * STEP_S
        names = labels.get(uuid, uuid), labels.get(idle, idle)
        return Sharing(host, *names, start_s, shared_s, tasks)
