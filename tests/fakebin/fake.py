"""Stands in for a scheduler's command: answers by its name and arguments with recorded output.

`stand_in.py` puts qstat, scontrol, ... into a folder on PATH: each starts this file with its own
name and its arguments. It starts hundreds of times in a run of the tests, so it imports little.
$FAKEBIN names a folder with

  scenario.json  {STATE: {PATTERN: ANSWER}}; PATTERN is a glob of the whole command line, the
                 first that fits counts, those of state "*" after those of the present state;
                 ANSWER is the name of a recorded answer, "torque/qstat_server-down", or an object
                 with any of recorded, stdout, stderr, exit_code, hang_s, then (the next state),
                 stretch (a factor of PBS's resources_used.cput and walltime),
                 taken_at_s (when it was recorded, in seconds since the epoch: its times are moved
                 so that it was taken just now), replace ({OLD: NEW} in standard output)
  state          the present state, one word; missing is "start"
  calls          every command line is appended here
"""

from __future__ import annotations

import fnmatch
import json
import os
import re
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FOLDER = os.environ["FAKEBIN"]
DATA = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "parse", "data")


def read(*path: str) -> bytes:
    try:
        with open(os.path.join(*path), "rb") as stream:
            return stream.read()
    except FileNotFoundError:
        return b""


def recorded(name: str, kind: str) -> bytes:
    return read(DATA, f"{name}.{kind}")


MOMENT = re.compile(
    rb"\b(1[67]\d{8})\b|\b(\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4})\b"
    rb"|\b(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\b"
)


def moved(text: bytes, taken_at_s: int) -> bytes:
    """Epochs, ctimes and ISO times, moved from then to now."""
    passed_s = int(time.time()) - taken_at_s

    def later(match: re.Match[bytes]) -> bytes:
        epoch, ctime, iso = match.groups()
        if epoch:
            return b"%d" % (int(epoch) + passed_s)
        form = "%a %b %d %H:%M:%S %Y" if ctime else "%Y-%m-%dT%H:%M:%S"
        at_s = time.mktime(time.strptime((ctime or iso).decode(), form)) + passed_s
        return time.strftime(form, time.localtime(at_s)).encode()

    return MOMENT.sub(later, text)


USED = re.compile(rb"<resources_used>.*?</resources_used>|\"resources_used\":\s*\{.*?\}", re.DOTALL)
CLOCK = re.compile(rb"\b(\d\d):(\d\d):(\d\d)\b")


def stretched(text: bytes, factor: float) -> bytes:
    """Times that PBS accounts for, as if the job had run for so many times as long."""

    def longer(match: re.Match[bytes]) -> bytes:
        hours, minutes, seconds = map(int, match.groups())
        total_s = round(((hours * 60 + minutes) * 60 + seconds) * factor)
        return b"%02d:%02d:%02d" % (total_s // 3600, total_s // 60 % 60, total_s % 60)

    return USED.sub(lambda used: CLOCK.sub(longer, used[0]), text)


def answer_for(line: str) -> dict[str, Any]:
    scenario = json.loads(read(FOLDER, "scenario.json"))
    now = read(FOLDER, "state").decode().strip() or "start"
    for pattern, answer in [*scenario.get(now, {}).items(), *scenario.get("*", {}).items()]:
        # [ is a part of array ids here, not of patterns
        if fnmatch.fnmatchcase(line, pattern.replace("[", "[[]")):
            return {"recorded": answer} if isinstance(answer, str) else answer
    return {"stderr": f"no answer for: {line}\n", "exit_code": 99}


def main() -> int:
    line = " ".join(sys.argv[1:])
    with open(os.path.join(FOLDER, "calls"), "a") as calls:
        calls.write(line + "\n")
    answer = answer_for(line)
    if "then" in answer:
        with open(os.path.join(FOLDER, "state"), "w") as state:
            state.write(answer["then"])
    if "hang_s" in answer:
        time.sleep(answer["hang_s"])
    name = answer.get("recorded", "")
    stdout = recorded(name, "txt") if name else answer.get("stdout", "").encode()
    stderr = recorded(name, "err") if name else answer.get("stderr", "").encode()
    if "stretch" in answer:
        stdout = stretched(stdout, answer["stretch"])
    if "taken_at_s" in answer:
        stdout = moved(stdout, answer["taken_at_s"])
    for old, new in answer.get("replace", {}).items():
        stdout = stdout.replace(old.encode(), new.encode())
    code = int(recorded(name, "rc") or b"0") if name else answer.get("exit_code", 0)
    sys.stdout.buffer.write(stdout)
    sys.stderr.buffer.write(stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
