"""The configuration: a site's and a user's TOML and HPCWATCH_* variables, each optional."""

import os

from hpcwatch.analysis.costs import Grid, Rates
from hpcwatch.base import config_files
from hpcwatch.base.clean import clean
from hpcwatch.base.errors import HpcwatchError
from hpcwatch.base.output import complain
from hpcwatch.base.units import GIB, MIB
from hpcwatch.probe.typed import TYPE_CHECKING, Any, Mapping, NamedTuple, Optional

if TYPE_CHECKING:
    from hpcwatch.cluster.transport import Bounds
    from hpcwatch.config.schema import Scalar
    from hpcwatch.config.values import Values

PER_CORE = "memory_per_core_bytes"
"""The threshold, in every rule that has it, for the site's memory per core."""

EXPORTER_PORTS = (9100, 9400, 9445, 9010)
"""node_exporter, dcgm-exporter, nvidia_gpu_exporter and CEEMS, by default."""
Thresholds = Mapping[str, Mapping[str, "Scalar"]]


_NONE: Mapping[str, Any] = {}  # nothing may be put into it


class Prometheus(NamedTuple):
    """The site's Prometheus, and whose exporters it asks."""

    url: str
    preset: str
    token_file: Optional[str] = None


class Settings(NamedTuple):
    """The values in force."""

    interval_s: float = 1.0
    budget_bytes: int = 32 * MIB
    thresholds: Thresholds = _NONE
    """Rule -> keyword -> value, for all queues."""
    keep_days: Optional[float] = None
    keep: Optional[str] = None
    """The age, such as ``90d``, at which recordings are removed automatically; None: never."""
    connect_timeout_s: float = 10.0
    keepalive_s: float = 15.0
    most_at_once: int = 32
    transport: str = "auto"
    scheduler: Optional[str] = None
    """None: detect it."""
    rates: Rates = Rates()
    memory_per_core_bytes: Optional[int] = None
    queues: Mapping[str, int] = _NONE
    """Queue -> bytes of memory per core."""
    exporter_ports: tuple[int, ...] = ()
    """Ports of exporters to ask on a node; none where that is forbidden, or may be."""
    notify: Mapping[str, "Scalar"] = _NONE
    """What `[notify]` sets (see ``monitor.notify.plan``); empty: nothing is reported."""
    prometheus: Optional[Prometheus] = None

    @property
    def ssh(self) -> "Bounds":
        """Time limits and the number of simultaneous logins of ssh."""
        from hpcwatch.cluster.transport import Bounds

        return Bounds(self.connect_timeout_s, self.keepalive_s, self.most_at_once)

    def thresholds_for(self, queue: Optional[str]) -> Thresholds:
        """Return the thresholds for jobs of a queue; the queue is None outside of a job.

        A rule's own ``memory_per_core_bytes`` overrides the queue's, which overrides the value for
        all queues.
        """
        share = self.queues.get(queue or "", self.memory_per_core_bytes)
        if share is None:
            return self.thresholds
        from hpcwatch.analysis.findings import rules

        own = dict(self.thresholds)
        for name, entry in rules().items():
            if PER_CORE in entry.defaults:
                own[name] = {PER_CORE: share, **own.get(name, {})}
        return own


def load() -> Settings:
    """Read the files and the environment. Raises HpcwatchError with the file and the line."""
    if not config_files.paths() and not any(map(_may_configure, os.environ)):
        return Settings(exporter_ports=EXPORTER_PORTS)
    from hpcwatch.config.values import collect

    return settings_of(collect())


def _may_configure(name: str) -> bool:
    """True of a variable that may change a setting; HPCWATCH_HOME is where recordings lie."""
    return name.startswith("HPCWATCH_") and name != "HPCWATCH_HOME"


def load_to_read() -> Settings:
    """Return the settings for a command that only reads: a mistake in them must not stop it.

    Wrong values are left out, and one line on standard error says so.
    """
    return settings_of(collect_to_read())


def collect_to_read() -> "Values":
    """Return the values of ``load_to_read``."""
    from hpcwatch.config.values import collect

    wrong: list[HpcwatchError] = []
    values = collect(wrong=wrong)
    if wrong:
        more = f" ({len(wrong) - 1} more)" if len(wrong) > 1 else ""
        _say_once(f"hpcwatch: {clean(str(wrong[0]))}{more}; left out, the rest holds")
    return values


_said: set[str] = set()


def _say_once(line: str) -> None:
    if line not in _said:
        _said.add(line)
        complain(line)


def load_or_default() -> Settings:
    """Return the settings, or the defaults if they are wrong, which is reported elsewhere."""
    try:
        return load()
    except HpcwatchError:
        return Settings()


def settings_of(values: "Values") -> Settings:
    """Return the settings that values make."""
    per_core_gb = _number(values, "memory.per_core_gb")
    return Settings(
        interval_s=_set(values, "run.interval_s"),
        budget_bytes=int(_set(values, "storage.budget_mb") * MIB),
        thresholds=_thresholds(values),
        keep_days=_number(values, "storage.keep_days"),
        keep=_text(values, "storage.keep"),
        connect_timeout_s=_set(values, "ssh.connect_timeout_s"),
        keepalive_s=_set(values, "ssh.keepalive_s"),
        most_at_once=int(_set(values, "ssh.most_at_once")),
        transport=_text(values, "ssh.transport") or "auto",
        scheduler=_text(values, "scheduler.name"),
        rates=Rates(
            core_hour=_number(values, "costs.core_hour"),
            gpu_hour=_number(values, "costs.gpu_hour"),
            unit=_text(values, "costs.unit") or "",
            grid=Grid(
                _number(values, "costs.co2e_g_per_kwh"),
                _number(values, "costs.co2e_low_g_per_kwh"),
                _number(values, "costs.co2e_high_g_per_kwh"),
            ),
        ),
        memory_per_core_bytes=None if per_core_gb is None else int(per_core_gb * GIB),
        queues={
            path[1]: int(float(value.value) * GIB)
            for path, value in values.items()
            if path[0] == "queues"
        },
        exporter_ports=_exporter_ports(values),
        notify=_set_by_somebody(values, "notify"),
        prometheus=_prometheus(values),
    )


def _prometheus(values: "Values") -> Optional[Prometheus]:
    url = _text(values, "prometheus.url")
    if url is None:
        return None
    preset = _text(values, "prometheus.preset") or ""
    return Prometheus(url, preset, _text(values, "prometheus.token_file"))


def _exporter_ports(values: "Values") -> tuple[int, ...]:
    from hpcwatch.config.schema import ports_in

    asks = values.get(("exporters", "ask"))
    if asks is None or not asks.value:
        return ()
    return ports_in(_text(values, "exporters.ports") or "")


def _set_by_somebody(values: "Values", table: str) -> dict[str, "Scalar"]:
    from hpcwatch.config.values import DEFAULT

    return {
        path[1]: value.value
        for path, value in values.items()
        if path[0] == table and value.origin != DEFAULT
    }


def _thresholds(values: "Values") -> dict[str, dict[str, "Scalar"]]:
    made: dict[str, dict[str, Scalar]] = {}
    for path, value in values.items():
        if path[0] == "findings":
            made.setdefault(path[1], {})[path[2]] = value.value
    return made


def _number(values: "Values", name: str) -> Optional[float]:
    value = values.get(tuple(name.split(".")))
    return None if value is None else float(value.value)


def _set(values: "Values", name: str) -> float:
    """Return a number that has a default."""
    value = _number(values, name)
    assert value is not None
    return value


def _text(values: "Values", name: str) -> Optional[str]:
    value = values.get(tuple(name.split(".")))
    return None if value is None else str(value.value)
