"""Secrets in what is written: masked in every file and format, unless that is switched off."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from program import Hpcwatch

from hpcwatch.base.masks import masked, masked_fields, masked_words
from hpcwatch.cli.doctor_checks import recording
from hpcwatch.cluster.schedulers.query import Answer

SECRET = "Zk3x9QmB7vR2"

WORDS = [
    ["--password=SECRET"],
    ["--password", "SECRET"],
    ["--token", "SECRET"],
    ["--api-key=SECRET"],
    ["--apiKey", "SECRET"],
    ["--wandb_api_key", "SECRET"],
    ["--db-pass", "SECRET"],
    ["-key=SECRET"],
    ["https://alice:SECRET@example.org/data"],
    ["postgresql://:SECRET@db:5432/x"],
    ["https://example.org/?access_token=SECRET&page=2"],
    ["-c", "login --token SECRET && train"],
    ["-c", "export HF_TOKEN='SECRET'; train"],
    ["-H", "Authorization: Bearer SECRET"],
    ["-H", "X-Api-Key: SECRET"],
    ["-u", "alice:SECRET"],
    ["aws_secret_access_key=SECRET"],
    ['{"password": "SECRET"}'],
    ["{'client_secret': 'SECRET'}"],
    ["--env", "PGPASSWORD=SECRET"],
    ['{"pw": "SECRET"}'],
    ['{"pat": "SECRET"}'],
]


@pytest.mark.parametrize("words", WORDS, ids=" ".join)
def test_a_secret_in_arguments_is_masked(words: list[str]) -> None:
    made = masked_words(["train", *(word.replace("SECRET", SECRET) for word in words), "--lr=0.1"])
    assert SECRET not in str(made)
    assert "***" in str(made)
    assert (made[0], made[-1], len(made)) == ("train", "--lr=0.1", len(words) + 2)
    assert masked_words(made) == made


@pytest.mark.parametrize(
    "text",
    [
        "ghp_" + "aB3" * 12,
        "hf_" + "aB3" * 12,
        "sk-" + "aB3" * 12,
        "AKIA" + "ABCD" * 4,
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abcdefgh",
    ],
)
def test_a_token_of_a_known_form_is_masked_wherever_it_stands(text: str) -> None:
    assert masked(f"push to https://{text}@example.org {text}") == (
        "push to https://***@example.org ***"
    )


@pytest.mark.parametrize(
    "words",
    [
        ["--max-tokens", "4096", "--tokenizer", "bert-base", "--num_tokens=8"],
        ["--sort-key", "name", "--key-dim", "64", "--pad_token", "<pad>", "--eos-token=</s>"],
        ["--passes", "3", "--no-password", "--monkey", "x", "--compass=north", "--keyboard", "de"],
        ["--password-file", "/home/alice/.pw", "--token", "$TOKEN", "--use-auth=true"],
        ["https://example.org:8080/a@b", "host:1234", "a=b", "key", "token"],
        ["python", "train.py", "--depth", "8"],
    ],
)
def test_words_that_are_not_secrets_stay(words: list[str]) -> None:
    assert masked_words(words) == words


@pytest.mark.parametrize(
    "plain",
    [
        {"token": None, "key": {"a": [1]}, "auth": [True], "password": 5, "x": [{"key": False}]},
        {"key": "", "environment": [f"HF_TOKEN={SECRET}", "HOME=/home/alice"]},
    ],
)
def test_masked_json_is_json(plain: dict[str, object]) -> None:
    for indent in (None, 1):
        made = json.loads(masked(json.dumps(plain, indent=indent)))
        assert set(made) == set(plain)
        assert SECRET not in str(made)


def test_a_scheduler_s_recorded_answers_hold_no_secret(tmp_path: Path) -> None:
    answer = Answer(f" Variable_List = HOME=/a,HF_TOKEN={SECRET},\n".encode() + b"\xff")
    recording.write(str(tmp_path), "torque", [recording.Heard(("qstat", "-f"), answer, 5.0, 0.1)])
    written = b"".join(one.read_bytes() for one in tmp_path.rglob("*") if one.is_file())
    assert SECRET.encode() not in written
    assert b"HF_TOKEN=***,\n\xff" in written


def test_values_are_found_by_name() -> None:
    fields = {
        "WANDB_API_KEY": SECRET,
        "SLURM_EXPORT_ENV": f"WANDB_API_KEY={SECRET},HOME=/home/alice",
        "SLURM_JOB_COMMENT": f"password: {SECRET}",
        "XLA_FLAGS": f"--xla_token={SECRET} --xla_gpu_autotune=1",
        "OMP_NUM_THREADS": "4",
        "accuracy": 0.5,
        "token": 5,
    }
    made = masked_fields(fields)
    assert SECRET not in str(made)
    assert made["SLURM_EXPORT_ENV"] == "WANDB_API_KEY=***,HOME=/home/alice"
    assert made["XLA_FLAGS"] == "--xla_token=*** --xla_gpu_autotune=1"
    assert (made["OMP_NUM_THREADS"], made["accuracy"], made["token"]) == ("4", 0.5, 5)


@given(st.lists(st.text(max_size=40), max_size=6))
def test_masking_keeps_the_number_of_words_and_is_idempotent(words: list[str]) -> None:
    made = masked_words(words)
    assert len(made) == len(words)
    for word in words:
        assert masked(masked(word)) == masked(word)


@pytest.mark.parametrize(
    "text", ["token " * 20_000, "--" + "a-" * 50_000 + " token", "key='" * 20_000, "://" * 40_000]
)
def test_a_long_word_costs_little(text: str) -> None:
    begun = time.process_time()
    masked(text)
    assert time.process_time() - begun < 3


ARGUMENTS = ("--token", SECRET, f"--url=https://alice:{SECRET}@example.org")
EVENT = f"""
import sys, time
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from hpcwatch import events
events.log(note="password={SECRET}", score=3)
time.sleep(0.4)
"""
JOB = {
    "SLURM_JOB_ID": "12",
    "SLURM_JOB_COMMENT": f"password: {SECRET}",
    "SLURM_EXPORT_ENV": f"WANDB_API_KEY={SECRET},HOME=/home/alice",
    "XLA_FLAGS": f"--xla_token={SECRET}",
}


def everything(hpcwatch: Hpcwatch, *words: str, **environment: str) -> str:
    """Run a program with secrets; return all that was written and shown of it."""
    import sys

    command = [sys.executable, "-c", EVENT, *ARGUMENTS]
    ended = hpcwatch("run", "--interval", "0.1", *words, "--", *command, **JOB, **environment)
    assert ended.code == 0, ended.err
    said = ended.out + ended.err
    for name in ("text", "html", "markdown", "json", "csv"):
        said += hpcwatch("report", "--format", name, **environment).out
    for more in (["runs"], ["runs", "--format", "json"], ["replay", "--once"]):
        said += hpcwatch(*more, **environment).out
    files = [path for path in hpcwatch.home.rglob("*") if path.is_file()]
    assert files
    return said + "".join(path.read_text() for path in files)


def test_no_file_and_no_format_holds_a_secret(hpcwatch: Hpcwatch, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    said = everything(hpcwatch, "--report", f"html:{path}")
    assert "score" in said
    assert SECRET not in said.replace(EVENT, "")
    assert SECRET not in path.read_text()
    assert "***" in path.read_text()


@pytest.mark.parametrize("way", ["file", "variable"])
def test_the_masks_can_be_switched_off(hpcwatch: Hpcwatch, way: str) -> None:
    told = {}
    if way == "file":
        hpcwatch.configure("[privacy]\nmask = false\n")
    else:
        told["HPCWATCH_PRIVACY_MASK"] = "false"
    everything(hpcwatch, **told)
    run = json.loads((hpcwatch.recorded() / "run.json").read_text())
    assert tuple(run["argv"][-3:]) == ARGUMENTS


def test_an_old_recording_is_masked_as_it_is_shown(hpcwatch: Hpcwatch) -> None:
    everything(hpcwatch, HPCWATCH_PRIVACY_MASK="false")
    for words in (
        ["report"],
        ["report", "--format", "json"],
        ["runs"],
        ["runs", "--format", "json"],
    ):
        assert SECRET not in hpcwatch(*words).out, words


def test_a_mask_that_is_no_flag_is_refused(hpcwatch: Hpcwatch) -> None:
    hpcwatch.configure("[privacy]\nmask = 0\n")
    ended = hpcwatch("config")
    assert (ended.code, "privacy.mask = 0: give true or false" in ended.err) == (2, True)
    assert "mask = true" in ended.out
    assert hpcwatch("config", HPCWATCH_PRIVACY_MASK="maybe").code == 2
