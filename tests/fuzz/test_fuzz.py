"""Damaged input never breaks a reader or a view: first what broke one before, then new mutants.

Each target gets HPCWATCH_FUZZ_MUTANTS mutants (400 by default: the same on every machine), at most
within its share of HPCWATCH_FUZZ_S seconds (60 by default). To look for new failures, raise both
and choose another HPCWATCH_FUZZ_SEED. An input that fails is kept in `corpus/TARGET/`: mend the
mechanism and commit the file.
"""

from __future__ import annotations

import hashlib
import os
import random
import resource
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import pytest
from mutator import Mutator
from targets import NAMES_OF_TARGETS, Target, all_targets

CORPUS = Path(__file__).parent / "corpus"
SECONDS = float(os.environ.get("HPCWATCH_FUZZ_S", "60"))
MOST_MUTANTS = int(os.environ.get("HPCWATCH_FUZZ_MUTANTS", "400"))
SEED = int(os.environ.get("HPCWATCH_FUZZ_SEED", "12"))
PATIENCE_S = 10.0
"""For one input, on a machine that is busy with other tests; all of them take milliseconds."""
MOST_BYTES = 400 << 20
"""By which a target may make this process grow: a thousand inputs of 64 KiB, and their records."""
KNOWN = [path for path in sorted(CORPUS.glob("*/*")) if path.is_file()]


@pytest.fixture(scope="module")
def targets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Target]]:
    """All targets, in a home of their own."""
    folder = tmp_path_factory.mktemp("fuzz")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HPCWATCH_HOME", str(folder))
        patch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
        patch.setenv("TZ", "UTC")
        time.tzset()
        yield all_targets(folder)
    time.tzset()


class TooSlowError(BaseException):
    """Not an Exception: a reader that swallows those must not swallow this one."""


def _too_slow(_signal: int, _frame: FrameType | None) -> None:
    raise TooSlowError(f"over {PATIENCE_S:g} s of processor time for one input")


def fed(target: Target, data: bytes) -> None:
    """Feed a target within bounded time."""
    before = signal.signal(signal.SIGVTALRM, _too_slow)
    signal.setitimer(signal.ITIMER_VIRTUAL, PATIENCE_S)
    try:
        target.feed(data)
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def test_the_targets_are_those_that_are_listed(targets: dict[str, Target]) -> None:
    assert tuple(targets) == NAMES_OF_TARGETS
    assert {path.parent.name for path in KNOWN} <= set(targets)


@pytest.mark.parametrize("path", KNOWN, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_what_broke_once(targets: dict[str, Target], path: Path) -> None:
    fed(targets[path.parent.name], path.read_bytes())


@pytest.mark.parametrize("name", NAMES_OF_TARGETS)
def test_mutants(targets: dict[str, Target], name: str) -> None:
    target = targets[name]
    seeds = list(target.seeds())
    assert seeds
    for seed in seeds:
        fed(target, seed)
    mutator = Mutator(seeds, random.Random(f"{SEED} {name}"))
    end_s = time.monotonic() + SECONDS / len(NAMES_OF_TARGETS)
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    count = 0
    while count < MOST_MUTANTS and time.monotonic() < end_s:
        data = mutator.mutant()
        try:
            fed(target, data)
        except (Exception, TooSlowError):
            print(f"kept as {_kept(name, data)}")
            raise
        count += 1
    grown_bytes = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb) << 10
    assert grown_bytes < MOST_BYTES
    assert count > 0
    print(f"{name}: {count} mutants")


def _kept(name: str, data: bytes) -> Path:
    path = CORPUS / name / hashlib.sha256(data).hexdigest()[:12]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path.relative_to(CORPUS)


def test_a_reader_that_never_ends_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    def endless(_: bytes) -> None:
        while True:
            pass

    monkeypatch.setattr("test_fuzz.PATIENCE_S", 0.2)
    with pytest.raises(TooSlowError):
        fed(Target(endless, lambda: [b""]), b"")


def test_the_same_seed_makes_the_same_mutants() -> None:
    first, second = (Mutator([b"a b c", b"1 2 3"], random.Random("1 x")) for _ in range(2))
    assert [first.mutant() for _ in range(50)] == [second.mutant() for _ in range(50)]
