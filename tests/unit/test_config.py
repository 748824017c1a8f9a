"""The configuration: both files optional, every mistake one line that names what is wrong."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from program import Hpcwatch

from hpcwatch.analysis.costs import Rates
from hpcwatch.analysis.findings import rules
from hpcwatch.base import config_files
from hpcwatch.base.errors import EXIT_USAGE, HpcwatchError
from hpcwatch.base.units import GIB
from hpcwatch.cluster.transport import Bounds
from hpcwatch.config import EXPORTER_PORTS, Settings, load, load_or_default, settings_of
from hpcwatch.config.values import collect


class Files:
    """The site's and the user's file."""

    def __init__(self, folder: Path) -> None:
        self.site = folder / "site.toml"
        self.user = folder / "config" / "hpcwatch" / "config.toml"
        self.user.parent.mkdir(parents=True)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Files:
    made = Files(tmp_path)
    monkeypatch.setattr(config_files, "SITE_FILE", str(made.site))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return made


def test_no_file_is_the_defaults(files: Files) -> None:
    usual = Settings(exporter_ports=EXPORTER_PORTS)
    assert load() == usual
    assert settings_of(collect()) == usual  # what ``load`` need not put together


def test_nothing_is_asked_where_it_may_be_forbidden(files: Files) -> None:
    files.user.write_text("[run]\ninterval_s = 0\n")
    assert load_or_default().exporter_ports == ()
    assert Settings().exporter_ports == ()


@pytest.mark.parametrize(
    ("site", "user", "variable", "ports"),
    [
        ("ask = false", "ask = true", "true", ()),
        ("", "ask = false", "true", ()),
        ("ask = true", "", "no", ()),
        ("ask = true", "ask = true", "", EXPORTER_PORTS),
        ("ports = '9100 19400'", "", "", (9100, 19400)),
    ],
)
def test_a_ban_on_asking_exporters_is_final(
    files: Files,
    monkeypatch: pytest.MonkeyPatch,
    site: str,
    user: str,
    variable: str,
    ports: tuple[int, ...],
) -> None:
    files.site.write_text(f"[exporters]\n{site}\n")
    files.user.write_text(f"[exporters]\n{user}\n")
    if variable:
        monkeypatch.setenv("HPCWATCH_EXPORTERS_ASK", variable)
    assert load().exporter_ports == ports


@pytest.mark.parametrize("ports", ["''", "'http'", "'9100,9400'", "'0'", "'70000'", "9100"])
def test_ports_that_are_none_are_refused(files: Files, ports: str) -> None:
    files.user.write_text(f"[exporters]\nports = {ports}\n")
    with pytest.raises(HpcwatchError, match=r"exporters\.ports"):
        load()


def test_the_user_s_values_go_over_the_site_s(files: Files) -> None:
    files.site.write_text("[run]\ninterval_s = 5\n[storage]\nbudget_mb = 8\n")
    files.user.write_text("[run]\ninterval_s = 0.5\n")
    settings = load()
    assert (settings.interval_s, settings.budget_bytes) == (0.5, 8 << 20)


def threshold() -> tuple[str, str, str]:
    """A rule with two thresholds, and those."""
    for name, entry in rules().items():
        numbers = [key for key, value in entry.defaults.items() if isinstance(value, int | float)]
        if len(numbers) >= 2:
            return name, numbers[0], numbers[1]
    raise AssertionError("no rule has two thresholds")


def test_thresholds_of_one_rule_add_up(files: Files) -> None:
    rule, first, second = threshold()
    files.site.write_text(f"[findings.{rule}]\n{first} = 1.5\n{second} = 2.5\n")
    files.user.write_text(f"[findings.{rule}]\n{second} = 3.5\n")
    assert load().thresholds[rule] == {first: 1.5, second: 3.5}


def complaint(files: Files, text: str) -> str:
    files.user.write_text(text)
    with pytest.raises(HpcwatchError) as caught:
        load()
    assert caught.value.exit_code == EXIT_USAGE
    assert str(files.user) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "nearest"),
    [
        ("[rnu]\n", "run"),
        ("[run]\nintervall_s = 1\n", "run.interval_s"),
        ("[storage]\nbudget = 1\n", "storage.budget_mb"),
        ("[findings.memory-near-limt]\n", "findings.memory-near-limit"),
    ],
)
def test_an_unknown_key_names_the_nearest(files: Files, text: str, nearest: str) -> None:
    assert f"did you mean {nearest}?" in complaint(files, text)


def test_an_unknown_threshold_names_the_nearest(files: Files) -> None:
    rule, first, _ = threshold()
    said = complaint(files, f"[findings.{rule}]\n{first}x = 1\n")
    assert f"did you mean findings.{rule}.{first}?" in said


@pytest.mark.parametrize(
    "text",
    [
        "run = 5\n",
        "findings = 5\n",
        'findings = "memory"\n',
        "findings = [1]\n",
        "[findings]\nmemory-near-limit = 5\n",
        '[run]\ninterval_s = "1"\n',
        "[run]\ninterval_s = true\n",
        "[run]\ninterval_s = nan\n",
        "[run]\ninterval_s = 0\n",
        "[run]\ninterval_s = -1\n",
        "[run]\ninterval_s = []\n",
        "[storage]\nbudget_mb = 0\n",
        "[storage]\nbudget_mb = inf\n",
        "not toml\n",
        "[run\n",
    ],
)
def test_wrong_values_are_refused(files: Files, text: str) -> None:
    assert "\n" not in complaint(files, text)


def test_bytes_that_are_not_text_are_refused_with_their_line(files: Files) -> None:
    files.user.write_bytes(b'[costs]\n# \xc3\xa9\nunit = "\xff"\n')
    with pytest.raises(HpcwatchError, match=r"line 3: cannot read byte 0xff") as caught:
        load()
    assert caught.value.exit_code == EXIT_USAGE
    assert caught.value.hint == "write it in UTF-8"


def test_a_file_of_another_system_is_read(files: Files) -> None:
    files.user.write_bytes(b"\xef\xbb\xbf[run]\r\ninterval_s = 7\r\n")
    assert load().interval_s == 7


def test_a_root_that_no_system_takes_is_refused_by_whoever_needs_it(hpcwatch: Hpcwatch) -> None:
    hpcwatch.configure('[storage]\nroot = "/x\\u0000y"\n')
    for command in ("runs", "report", "replay"):
        ended = hpcwatch(command, HPCWATCH_HOME="")
        assert "Traceback" not in ended.err
    ended = hpcwatch("config", HPCWATCH_HOME="")
    assert (ended.code, "line 2: storage.root = " in ended.complaint) == (2, True)


def test_a_folder_in_the_file_s_place_is_refused(files: Files) -> None:
    files.user.mkdir()
    with pytest.raises(HpcwatchError, match="cannot read"):
        load()


def test_without_xdg_the_file_is_below_the_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("HOME", "/home/alice")
    assert config_files.user_file() == "/home/alice/.config/hpcwatch/config.toml"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("\n\n[run]\n\nintervall_s = 1\n", "line 5: no key run.intervall_s"),
        ("\n[rnu]\n", "line 2: no key rnu"),
        ("run.interval_s = 2\nrun.x = 1\n", "line 2: no key run.x"),
        ('[storage]\n# budget_mb = 1\n"budget_mb" = "big"\n', "line 3: storage.budget_mb = 'big'"),
        ("[queues.a]\nmemory_per_core_gb = 2\n[queues.b]\nmemory = 2\n", "line 4: no key queues.b"),
        ("[ssh]\nx = { a = 1 }\n", "line 2: no key ssh.x"),
        ('[queues]\n"a b" = 3\n', "line 2: queues.a b is not a table"),
    ],
)
def test_a_mistake_names_its_line(files: Files, text: str, said: str) -> None:
    assert f"{files.user}, {said}" in complaint(files, text)


def test_a_site_s_mistake_names_the_site_s_file(files: Files) -> None:
    files.site.write_text("[run]\ninterval_s = 0\n")
    with pytest.raises(HpcwatchError, match=r"site\.toml, line 2: run\.interval_s = 0"):
        load()


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ('[ssh]\ntransport = "telnet"\n', "give one of auto, ssh, ssh-program, srun, pbs_attach"),
        ("[ssh]\ntransport = 1\n", "give one of auto"),
        ("[ssh]\nconnect_timeout_s = 0\n", "give a number between 1 and 600"),
        ("[ssh]\nkeepalive_s = false\n", "give a number between 1 and 3600"),
        ('[scheduler]\nname = "slrm"\n', "give one of slurm, torque, pbspro"),
        ("[storage]\nroot = 3\n", "give a text in quotes"),
        ('[storage]\nroot = ""\n', "give a text in quotes"),
        ("[storage]\nkeep_days = 0\n", "give a number between 1 and"),
        ("[costs]\ncore_hour = -1\n", "give a number between 0 and"),
        ("[memory]\nper_core_gb = 0\n", "give a number between 0.01 and"),
        ("[queues]\nbig = 4\n", "write [queues.big]"),
        ("queues = 1\n", "write [queues.NAME]"),
        ("[costs]\nunits = 1\n", "did you mean costs.unit?"),
        ("[queues.big]\nmemory_per_core = 1\n", "did you mean queues.big.memory_per_core_gb?"),
        (
            "[costs]\nzzz = 1\n",
            "it takes co2e_g_per_kwh, co2e_high_g_per_kwh, ",
        ),
        ("[zzzzzz]\nx = 1\n", "it takes costs, exporters, findings, memory, "),
        ('[storage]\nroot = "/x\\u0000y"\n', "give a text in quotes"),
    ],
)
def test_a_wrong_value_says_what_is_right(files: Files, text: str, hint: str) -> None:
    assert hint in complaint(files, text)


def test_a_threshold_has_no_bounds_to_be_told(files: Files) -> None:
    said = complaint(files, '[findings.cpu-low]\nwindow_s = "5"\n')
    assert said.endswith("line 2: findings.cpu-low.window_s = '5': give a number")


def test_all_keys_are_read(files: Files) -> None:
    files.user.write_text(
        '[storage]\nroot = "/x"\nkeep_days = 30\n'
        "[ssh]\nconnect_timeout_s = 3\nkeepalive_s = 7\nmost_at_once = 4\n"
        'transport = "srun"\n[scheduler]\nname = "slurm"\n'
        "[memory]\nper_core_gb = 4\n[queues.bigmem]\nmemory_per_core_gb = 32\n"
        '[costs]\ncore_hour = 0.5\ngpu_hour = 2\nunit = "SU"\n'
    )
    settings = load()
    assert settings.ssh == Bounds(3.0, 7.0, 4)
    assert (settings.transport, settings.scheduler, settings.keep_days) == ("srun", "slurm", 30)
    assert settings.rates == Rates(0.5, 2.0, "SU")
    assert settings.memory_per_core_bytes == 4 * GIB
    assert settings.queues == {"bigmem": 32 * GIB}


def test_the_environment_goes_over_the_files(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    files.user.write_text('[run]\ninterval_s = 5\n[ssh]\ntransport = "srun"\n')
    monkeypatch.setenv("HPCWATCH_RUN_INTERVAL_S", "0.5")
    monkeypatch.setenv("HPCWATCH_SSH_TRANSPORT", "")  # as good as not set
    settings = load()
    assert (settings.interval_s, settings.transport) == (0.5, "srun")
    for text in ("fast", "0", "nan", "true"):
        monkeypatch.setenv("HPCWATCH_RUN_INTERVAL_S", text)
        with pytest.raises(HpcwatchError, match="HPCWATCH_RUN_INTERVAL_S=") as caught:
            load()
        assert caught.value.exit_code == EXIT_USAGE


def per_core(settings: Settings, queue: str | None, rule: str = "memory-over-share") -> object:
    return settings.thresholds_for(queue).get(rule, {}).get("memory_per_core_bytes")


def test_memory_per_core_goes_by_the_queue(files: Files) -> None:
    files.user.write_text("[memory]\nper_core_gb = 4\n[queues.bigmem]\nmemory_per_core_gb = 32\n")
    settings = load()
    assert [per_core(settings, queue) for queue in ("bigmem", "workq", None)] == [
        32 * GIB,
        4 * GIB,
        4 * GIB,
    ]
    knowing = {name for name, one in rules().items() if "memory_per_core_bytes" in one.defaults}
    assert {"memory-over-share", "cpu-low"} <= knowing
    assert all(per_core(settings, "bigmem", rule) == 32 * GIB for rule in knowing)
    assert set(settings.thresholds_for("bigmem")) == knowing


def test_a_rule_s_own_value_wins_and_other_thresholds_stay(files: Files) -> None:
    files.user.write_text(
        "[queues.bigmem]\nmemory_per_core_gb = 32\n"
        "[findings.memory-over-share]\nmemory_per_core_bytes = 7\nwindow_s = 9\n"
    )
    settings = load()
    assert per_core(settings, "bigmem") == 7
    assert settings.thresholds_for("bigmem")["memory-over-share"]["window_s"] == 9
    assert per_core(settings, "bigmem", "cpu-low") == 32 * GIB
    assert per_core(settings, "other", "cpu-low") is None


def test_without_memory_per_core_the_rules_are_not_even_loaded(hpcwatch: Hpcwatch) -> None:
    code = "import sys; from hpcwatch.config import load; load().thresholds_for('q')\n"
    code += "print([name for name in sys.modules if 'findings' in name])"
    assert hpcwatch.shell([sys.executable, "-c", code]).out == "[]\n"


def test_a_user_s_queue_goes_over_the_site_s(files: Files) -> None:
    files.site.write_text(
        "[queues.a]\nmemory_per_core_gb = 1\n[queues.b]\nmemory_per_core_gb = 2\n"
    )
    files.user.write_text("[queues.b]\nmemory_per_core_gb = 3\n")
    assert load().queues == {"a": GIB, "b": 3 * GIB}


@pytest.mark.parametrize(
    ("text", "name", "line"),
    [
        ("[a]\nb = 1\n", ("a", "b"), 2),
        ("[a.b]\nc = 1\n", ("a",), 1),
        ("[ a . 'b' ] # x\nc=1\n", ("a", "b", "c"), 2),
        ("a.b = 1\n", ("a", "b"), 1),
        ("x = 1\n", ("a",), None),
        ("[[a]]\nb = 1\n", ("a", "b"), 2),
        ("[a]\n# b = 1\n\nb=2", ("a", "b"), 4),
    ],
)
def test_lines_are_found(text: str, name: tuple[str, ...], line: int | None) -> None:
    assert config_files.line_of(text, name) == line


@given(st.text(alphabet="[]=.ab\"'# \n1{}", max_size=60))
def test_any_text_has_lines_or_none(text: str) -> None:
    found = config_files.line_of(text, ("a", "b"))
    assert found is None or 1 <= found <= len(text.splitlines())
