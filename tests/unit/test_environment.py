"""What of the environment a recording keeps: what explains the run, nothing that opens a door."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcwatch.recording.masking import kept

ENVIRONMENTS = Path(__file__).resolve().parents[1] / "data" / "environments"
TOKEN = "Zk3x9QmB7vR2tYw8LpN4cH6sD1fGjK5a"


def recorded(name: str) -> dict[str, str]:
    """A job's environment as its scheduler made it."""
    lines = (ENVIRONMENTS / f"{name}.txt").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines)


@pytest.mark.parametrize("name", ["openpbs-gpu", "openpbs-two-nodes", "torque-two-nodes"])
def test_of_a_recorded_job_all_is_kept_but_its_cookie(name: str) -> None:
    environment = recorded(name)
    found = kept(environment)
    assert "PBS_JOBCOOKIE" in environment
    assert "PBS_JOBCOOKIE" not in found
    assert environment["PBS_JOBCOOKIE"] not in str(found)
    wanted = {word for word in environment if word.startswith("PBS_")} - {"PBS_JOBCOOKIE"}
    # That one is dropped for its name: rather too much than too little.
    assert wanted - set(found) <= {"PBS_O_INTERACTIVE_AUTH_METHOD"}
    assert "HOME" not in found
    assert "LOGNAME" not in found


@pytest.mark.parametrize(
    "name",
    [
        "PBS_JOBCOOKIE",
        "SLURM_JWT",
        "SLURM_MPI_AUTH",
        "PBS_PASSWORD",
        "TF_SECRET",
        "TF_CLI_CONFIG_FILE",
        "CUDA_API_KEY",
        "NCCL_TOKEN",
        "KERAS_CREDENTIALS",
        "slurm_jwt",
        "AWS_SECRET_ACCESS_KEY",
        "WANDB_API_KEY",
        "SSH_AUTH_SOCK",
        "HOME",
        "LS_COLORS",
    ],
)
def test_names_that_are_never_kept(name: str) -> None:
    assert kept({name: "1"}) == {}


@pytest.mark.parametrize(
    "value",
    [
        TOKEN,
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9",
        "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
        "https://alice:hunter2@example.org/repo",
        f"--token={TOKEN}",
        f" {TOKEN}\n",
    ],
)
def test_values_that_look_like_a_secret_are_not_kept(value: str) -> None:
    assert kept({"PBS_O_SOMETHING": value}) == {}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CUDA_VISIBLE_DEVICES", "0,1"),
        ("CUDA_VISIBLE_DEVICES", "GPU-5ebe9f43-ac33-5420-4628-6e8b6e1b6c21"),
        ("CUDA_VISIBLE_DEVICES", "MIG-GPU-5ebe9f43-ac33-5420-4628-6e8b6e1b6c21/1/0"),
        ("OMP_NUM_THREADS", "20"),
        ("OMP_PLACES", "{0:4},{4:4}"),
        ("SLURM_JOB_NODELIST", "qb[001-003,010],login1"),
        ("PBS_O_PATH", "/opt/torque-6.1.3/bin:/usr/bin:/bin"),
        ("PBS_O_WORKDIR", "/scratch/alice/2024-resnet50-imagenet-batch256"),
        ("PBS_NODEFILE", "/var/spool/torque/aux//305669.qb3"),
        ("LOADEDMODULES", "gcc/12.2.0:cuda/11.8:openmpi/4.1.4"),
        ("SLURM_JOB_NAME", "cnn.tf.gpu"),
        ("TMPDIR", "/var/tmp/pbs.19.qb3"),
        ("XLA_FLAGS", "--xla_gpu_cuda_data_dir=/opt/cuda-11"),
    ],
)
def test_what_explains_a_run_is_kept(name: str, value: str) -> None:
    assert kept({name: value}) == {name: value}


def test_values_are_bounded() -> None:
    assert len(kept({"PBS_LONG": "a " * 100_000})["PBS_LONG"]) <= 4096


@given(st.dictionaries(st.text(max_size=20), st.text(max_size=60)))
def test_any_environment_can_be_asked(environment: dict[str, str]) -> None:
    assert set(kept(environment)) <= set(environment)
