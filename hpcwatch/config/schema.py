"""The keys of the configuration: their names, types, bounds, defaults and purposes."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import NamedTuple, Union

from hpcwatch.base.units import parse_age
from hpcwatch.cluster import schedulers
from hpcwatch.config import EXPORTER_PORTS

Scalar = Union[float, str]


_LEAST_AGE_S = 3600.0  # a person looks first at what has just ended
_ANY = 1e18
"""A value without an upper bound."""


class Key(NamedTuple):
    """One key: a flag, a text (with or without choices) or a number."""

    name: str
    what: str
    default: Scalar | None = None
    least: float = 0.0
    most: float = _ANY
    is_text: bool = False
    choices: tuple[str, ...] = ()
    is_flag: bool = False
    is_age: bool = False
    """The value is an age such as ``90d``."""
    are_ports: bool = False
    """The value holds ports with spaces between them."""
    forbids: bool = False
    """False is final wherever it is set: neither a user's file nor a variable makes it true."""

    @property
    def path(self) -> tuple[str, ...]:
        """The names of its tables, then its own."""
        return tuple(self.name.split("."))

    @property
    def variable(self) -> str:
        """The environment variable that overrides the files."""
        if self.name == "storage.root":
            return "HPCWATCH_HOME"
        return "HPCWATCH_" + self.name.upper().replace(".", "_")

    @property
    def wanted(self) -> str:
        """The hint that says which values are valid."""
        if self.is_flag:
            return "give true or false"
        if self.is_age:
            return "give an age of an hour or more in quotes, such as 90d or 12w"
        if self.choices:
            return f"give one of {', '.join(self.choices)}"
        if self.is_text:
            ports = "ports in quotes, such as 9100 9400"
            return f"give {ports if self.are_ports else 'a text in quotes'}"
        if self.least == -_ANY:
            return "give a number"
        return f"give a number between {self.least:g} and {self.most:g}"

    def accepts(self, value: object) -> bool:
        """Tell whether a value is of the right type and within bounds."""
        if self.is_flag:
            return isinstance(value, bool)
        if self.is_age:
            age_s = parse_age(value) if isinstance(value, str) else None
            return age_s is not None and age_s >= _LEAST_AGE_S
        if self.choices:
            return value in self.choices
        if self.is_text:
            is_fit = not self.are_ports or bool(ports_in(str(value)))
            return isinstance(value, str) and bool(value) and "\0" not in value and is_fit
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return is_number and self.least <= value <= self.most  # type: ignore[operator]


def ports_in(text: str) -> tuple[int, ...]:
    """Return the ports that a text holds, at most 16; none if anything else is in it."""
    words = text.split()
    if not all(word.isascii() and word.isdigit() and len(word) <= 5 for word in words):
        return ()
    ports = tuple(map(int, words))
    return ports if all(0 < port < 1 << 16 for port in ports) and len(ports) <= 16 else ()


_SHARE = "GiB of memory per core"

KEYS = (
    Key("run.interval_s", "seconds between two readings of a node", 1.0, 0.05, 3600),
    Key("storage.root", "the folder of all recordings; ~ and $NAME are filled in", is_text=True),
    Key("storage.budget_mb", "the most MiB of one node's recording", 32.0, 1, 1e6),
    Key(
        "storage.keep_days",
        "age in days from which `hpcwatch runs --prune` removes runs",
        None,
        1,
        36500,
    ),
    Key(
        "storage.keep",
        "the age at which runs and sweeps are removed, whenever a run ends; unset: never",
        is_text=True,
        is_age=True,
    ),
    Key("ssh.connect_timeout_s", "timeout in seconds of each step of a connection", 10.0, 1, 600),
    Key(
        "ssh.keepalive_s",
        "seconds between keep-alives; a connection silent for three times that is dead",
        15.0,
        1,
        3600,
    ),
    Key("ssh.most_at_once", "nodes logged in to at the same time", 32.0, 1, 1024),
    Key(
        "ssh.transport",
        "how to connect to nodes",
        "auto",
        is_text=True,
        choices=("auto", "ssh", "ssh-program", "srun", "pbs_attach"),
    ),
    Key(
        "scheduler.name",
        "the scheduler, where it is not detected",
        is_text=True,
        choices=tuple(schedulers.NAMES),
    ),
    Key("memory.per_core_gb", f"{_SHARE}, in queues without a value of their own", None, 0.01),
    Key("costs.core_hour", "price of a core-hour", None, 0, 1e9),
    Key("costs.gpu_hour", "price of a GPU-hour", None, 0, 1e9),
    Key("costs.unit", "the unit of prices, such as EUR or SU", is_text=True),
    Key("costs.co2e_g_per_kwh", "grams of CO2e per kWh of electricity here", None, 0, 1e5),
    Key("costs.co2e_low_g_per_kwh", "the least that it may be, over the year", None, 0, 1e5),
    Key("costs.co2e_high_g_per_kwh", "the most that it may be, over the year", None, 0, 1e5),
    Key(
        "exporters.ask",
        "ask the exporters on a node, over its loopback, for what only root can read there; false"
        " is final, whoever sets it",
        True,
        is_flag=True,
        forbids=True,
    ),
    Key(
        "exporters.ports",
        "the ports of these exporters",
        " ".join(map(str, EXPORTER_PORTS)),
        is_text=True,
        are_ports=True,
    ),
    Key("notify.command", "a program that gets messages as JSON on its input", is_text=True),
    Key("notify.webhook_file", "a file of mode 0600 with a webhook's URL", is_text=True),
    Key("notify.token_file", "a file of mode 0600 with the webhook's bearer token", is_text=True),
    Key("notify.mail", "addresses for mail, with commas between them", is_text=True),
    Key("notify.mail_from", "the sender of mail; unset: as the mail program says", is_text=True),
    Key("notify.smtp", "a mail server, HOST or HOST:PORT; unset: the local sendmail", is_text=True),
    Key(
        "notify.severity",
        "the least severity of findings to report; none: no findings",
        "warning",
        is_text=True,
        choices=("info", "warning", "critical", "none"),
    ),
    Key("notify.start", "report that a run or a job has started", False, is_flag=True),
    Key("notify.end", "report that a run or a job has ended", True, is_flag=True),
    Key(
        "notify.kill",
        "report a signal that ends a run, and a job that was killed",
        True,
        is_flag=True,
    ),
    Key("notify.end_after_s", "the normal end of a shorter run is not reported", 60.0, 0, 1e9),
    Key(
        "notify.again_s",
        "seconds after which a finding that came back is reported again",
        3600.0,
        0,
        1e9,
    ),
    Key(
        "notify.digest_s",
        "seconds in which all tasks of a job array together send one message",
        900.0,
        0,
        1e6,
    ),
    Key(
        "prometheus.url",
        "a Prometheus of the site, asked for what nobody watched: http://HOST:9090",
        is_text=True,
    ),
    Key(
        "prometheus.preset",
        "whose exporters it has",
        "jobstats",
        is_text=True,
        choices=("jobstats", "slurm-job-exporter", "ceems", "dcgm", "hpcwatch"),
    ),
    Key(
        "prometheus.token_file",
        "a file of mode 0600 with a bearer token for it",
        is_text=True,
    ),
    Key(
        "privacy.mask",
        "mask passwords, tokens and keys in everything that is written",
        True,
        is_flag=True,
    ),
)
"""In the order in which they are printed."""

_FOR_EXAMPLE = "queues.NAME.memory_per_core_gb"

Tree = Mapping[str, "Tree | Key"]
"""A table's keys and tables."""


class AnyName(dict[str, "Tree | Key"]):
    """A table whose keys are the site's own names; all hold the same keys."""

    def __init__(self, of: Tree) -> None:
        super().__init__()
        self.of = of


def tree(with_findings: bool) -> Tree:
    """Return all valid keys. The rules are imported only if they are needed."""
    made: dict[str, dict[str, Tree | Key] | Tree] = {}
    for key in KEYS:
        table, name = key.path
        inner = made.setdefault(table, {})
        assert isinstance(inner, dict)
        inner[name] = key
    share = Key(_FOR_EXAMPLE, _SHARE + " in this queue", None, 0.01)
    made["queues"] = AnyName({"memory_per_core_gb": share})
    made["findings"] = _thresholds() if with_findings else {}
    return made


def _thresholds() -> dict[str, Tree | Key]:
    """Return a table per rule, of runs and of sweeps, from its keyword defaults."""
    from hpcwatch.analysis.findings import SWEEP_RULES_MODULE, rules

    defaults = import_module(SWEEP_RULES_MODULE).defaults
    of_rules = {rule: entry.defaults for rule, entry in rules().items()}
    return {
        rule: {
            name: Key(f"findings.{rule}.{name}", "", default, least=-_ANY)
            for name, default in of_rule.items()
        }
        for rule, of_rule in {**of_rules, **defaults()}.items()
    }
