"""The configuration: both files optional, every mistake one line that names what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpcwatch import config_files
from hpcwatch.config import Settings, load
from hpcwatch.errors import EXIT_USAGE, HpcwatchError
from hpcwatch.findings import rules


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
    assert load() == Settings()


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


def test_what_is_no_text_is_refused(files: Files) -> None:
    files.user.write_bytes(b"\xff\xfe")
    with pytest.raises(HpcwatchError, match="cannot read"):
        load()


def test_a_folder_in_the_file_s_place_is_refused(files: Files) -> None:
    files.user.mkdir()
    with pytest.raises(HpcwatchError, match="cannot read"):
        load()


def test_without_xdg_the_file_is_below_the_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("HOME", "/home/alice")
    assert config_files.user_file() == "/home/alice/.config/hpcwatch/config.toml"
