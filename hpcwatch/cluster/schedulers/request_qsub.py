"""Reads and edits a request to qsub, for Torque and PBS Pro. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from hpcwatch.base.units import parse_bytes
from hpcwatch.cluster.schedulers.request import (
    Edited,
    Kept,
    Needs,
    Request,
    Script,
    clock,
    needs_of,
    size,
)
from hpcwatch.cluster.schedulers.request_pbs import (
    PREFIX,
    name_lines,
    own_lines,
    resource_lines,
    resources_of,
    script_name,
    spots_of,
)

if TYPE_CHECKING:
    from hpcwatch.cluster.schedulers.job import Job

_SHORTEST = ("min_walltime", "minwclimit")
"""The shortest walltime that a job accepts, in PBS Pro and in Moab."""


class QsubRequests:
    """Reads and edits a request. The arguments are the differences between the two."""

    PREFIX = PREFIX

    def __init__(
        self,
        server: str,
        flags: str,
        held: Callable[[Mapping[str, str]], Mapping[str, str]],
        numbers: Callable[[Job, Needs], Iterable[str]],
        change: Callable[[Script, Needs, Needs], Iterable[Kept]],
    ) -> None:
        """``flags`` are the options of qsub that take no value.

        ``held`` returns what the server's Resource_List says was requested, apart from the
        walltime, ``numbers`` what a job's numbers alone say for ``-l``, and ``change`` edits
        everything but the walltime.
        """
        self._server = server
        self._flags = flags
        self._held = held
        self._numbers = numbers
        self._change = change

    def script_name(self, job: Job) -> str | None:
        """Return the script's name as qsub was given it."""
        return script_name(job, self._flags)

    def read(self, job: Job, _environment: Mapping[str, str]) -> Request:
        """Return the request, in the user's words if they are known."""
        own = own_lines(job, self._flags)
        if own is not None:
            return own
        resources = resources_of(job)
        held = dict(self._held(resources))
        if "walltime" in resources:
            held["walltime"] = resources["walltime"]
        if held:
            made = resource_lines(held)
            return made._replace(lines=(*name_lines(job), *made.lines))
        lines = [f"{PREFIX} -l {value}" for value in self._numbers(job, needs_of(job))]
        if job.walltime_s and job.walltime_s > 0:
            lines.append(f"{PREFIX} -l walltime={clock(job.walltime_s)}")
        gap = f"the rest of your -l lines, which {self._server} did not report"
        return Request((*name_lines(job), *lines), (gap,))

    def edit(self, lines: tuple[str, ...], old: Needs, new: Needs) -> Edited:
        """Return the lines with other numbers."""
        script = Script(lines, spots_of(self._flags))
        kept = [*self._change(script, old, new), *_put_walltime(script, old, new)]
        return script.edited(kept)


def _put_walltime(script: Script, old: Needs, new: Needs) -> Iterator[Kept]:
    """Write the walltime where it was written, or in a line of its own."""
    if new.walltime_s == old.walltime_s or not new.walltime_s:
        return
    flexible = next((one for one in _SHORTEST if script.get(one) is not None), None)
    if flexible is not None:
        why = f"{flexible}={script.get(flexible)} lets the scheduler choose it"
        yield Kept("walltime", why)
    elif not script.put("walltime", clock(new.walltime_s)):
        script.add(f"{PREFIX} -l walltime={clock(new.walltime_s)}")


def _is_fewer_cores(old: Needs, new: Needs) -> bool:
    """True if the whole job gets fewer cores: then it needs less memory on fewer nodes."""
    before, after = old.node_cores_count, new.node_cores_count
    return not (before and after) or after * new.nodes_count < before * old.nodes_count


def with_whole_memory(script: Script, old: Needs, new: Needs) -> Iterator[Kept]:
    """Write ``mem``, which is the whole job's, where it was written, or in a line of its own."""
    whole, each = script.get("mem"), script.get("pmem")
    memory = new.node_memory_bytes
    if memory != old.node_memory_bytes and memory:
        text = size(memory * new.nodes_count, "mb", "gb")
        virtual = script.get("vmem") if new.vmem_bytes == old.vmem_bytes else None
        is_more = memory > (old.node_memory_bytes or 0)
        if each is not None:
            yield Kept("memory", f"pmem={each} limits it too")
            return
        if is_more and virtual and (parse_bytes(virtual) or 0) < memory * new.nodes_count:
            yield Kept("memory", f"vmem={virtual} limits it too")
            return
        if not script.put("mem", text):
            script.add(f"{PREFIX} -l mem={text}")
    elif new.nodes_count < old.nodes_count and whole and _is_fewer_cores(old, new):
        share = (parse_bytes(whole) or 0) * new.nodes_count / old.nodes_count
        if share:
            script.put("mem", size(math.ceil(share), "mb", "gb"))
