"""Checks of the exporters on a node: which hpcwatch asks, and what it takes from each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from hpcwatch import config
from hpcwatch.base.errors import os_reason
from hpcwatch.cli.doctor_checks import Check, Level, ok
from hpcwatch.probe.exporters_http import NoAnswerError, get
from hpcwatch.probe.exporters_listening import is_trusted, listeners
from hpcwatch.probe.exporters_table import OF_GPUS, PACKAGE_J, READ_BYTES, TABLE, path_of
from hpcwatch.probe.exporters_text import rows
from hpcwatch.probe.schema import Sample

_SUBJECT = "exporters here"
_PATIENCE_S = 2.0
"""Longer than a sample waits: an exporter that is slower than that is asked no more by a run."""
_WORDS = {
    **dict.fromkeys(OF_GPUS, "activity of GPUs"),
    PACKAGE_J: "energy of processors",
    READ_BYTES: "a job's traffic by file system",
}
_FORBIDDEN = Check(_SUBJECT, Level.NOTE, "none is asked: [exporters] ask is false")


def here() -> Iterator[Check]:
    """Ask the exporters on this node once, as a run does."""
    ports = config.load_or_default().exporter_ports
    if not ports:
        yield _FORBIDDEN
        return
    owners = listeners(ports)
    for port in ports:
        if port in owners:
            yield _of_port(port, owners[port])
    if not owners:
        yield Check(_SUBJECT, Level.NOTE, f"none listens on port {_listed(map(str, ports))}")


def _of_port(port: int, owners: set[int]) -> Check:
    if not is_trusted(owners):
        found = f"port {port} is an ordinary user's: it is not asked, its figures may be forged"
        return Check(_SUBJECT, Level.NOTE, found)
    try:
        body = get(port, path_of(port), _PATIENCE_S)
    except (NoAnswerError, OSError) as error:
        reason = os_reason(error) if isinstance(error, OSError) else str(error)
        return Check(_SUBJECT, Level.NOTE, f"port {port} is no exporter that can be read: {reason}")
    published = {row.name for row in rows(body, [family.name for family in TABLE])}
    known = [family for family in TABLE if family.name in published]
    if not known:
        found = f"port {port} answers, and publishes nothing that hpcwatch takes from exporters"
        return Check(_SUBJECT, Level.NOTE, found)
    names = dict.fromkeys(family.exporter for family in known)
    figures = dict.fromkeys(_WORDS[one.figure] for one in known if one.figure in _WORDS)
    return ok(_SUBJECT, f"port {port}: {_listed(names)}, for {_listed(figures)}")


def on_node(subject: str, samples: Sequence[Sample]) -> Iterator[Check]:
    """Say what the probe on a node took from the exporters there; nothing if it took nothing."""
    exported = [one.exported for one in samples if one.exported is not None]
    of_gpus = {gpu.activity_from for one in samples for gpu in one.gpus or ()}
    taken = [
        *((one.energy_from, _WORDS[PACKAGE_J]) for one in exported),
        *((one.mounts_from, _WORDS[READ_BYTES]) for one in exported),
        *((name, _WORDS[OF_GPUS[0]]) for name in sorted(filter(None, of_gpus))),
    ]
    for name, figure in dict.fromkeys(taken):
        if name is not None:
            yield ok(subject, f"exporter there: {name}, for {figure}")


def _listed(words: Iterable[str]) -> str:
    return ", ".join(words)
