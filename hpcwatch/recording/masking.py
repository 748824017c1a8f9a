"""What of a run may be written down: which environment variables, and texts without secrets.

Secrets in records are masked unless ``[privacy] mask = false``.
"""

from __future__ import annotations

import os

from hpcwatch.base import config_files, masks
from hpcwatch.cluster.schedulers import variable_prefixes
from hpcwatch.probe.schema import Process, Sample
from hpcwatch.probe.typed import Any, Mapping, Sequence


def is_on() -> bool:
    """Tell whether secrets are masked."""
    told = os.environ.get("HPCWATCH_PRIVACY_MASK")
    key = told, config_files.user_file(), config_files.SITE_FILE
    if key not in _known:
        _known.clear()
        _known[key] = config_files.has_masks()
    return _known[key]


_known: dict[tuple[str | None, str, str], bool] = {}
"""What decides -> the setting, read once per process."""


def masked_words(words: Sequence[str]) -> list[str]:
    """Return a command line, masked."""
    return masks.masked_words(words) if is_on() else list(words)


def masked_text(text: str) -> str:
    """Return a text, masked."""
    return masks.masked(text) if is_on() else text


def masked_fields(fields: dict[str, Any]) -> dict[str, Any]:
    """Return values by name, masked."""
    return masks.masked_fields(fields) if is_on() else fields


def masked_sample(sample: Sample) -> Sample:
    """Return a sample, masked: a process's arguments are in one sample only."""
    processes = sample.processes
    if not processes or all(one.argv is None for one in processes) or not is_on():
        return sample
    return sample._replace(processes=[_masked_process(one) for one in processes])


def _masked_process(process: Process) -> Process:
    if process.argv is None:
        return process
    return process._replace(argv=masks.masked_words(process.argv))


_PREFIXES = (
    "OMP_",
    "MKL_",
    "KMP_",
    "OPENBLAS_",
    "BLIS_",
    "NUMEXPR_",
    "VECLIB_",
    "CUDA_",
    "NCCL_",
    "ROCR_",
    "HIP_",
    "TF_CPP_",  # not all of TF_: Terraform and others use this prefix
    "TF_CUDNN_",
    "TF_DETERMINISTIC_",
    "TF_ENABLE_",
    "TF_FORCE_",
    "TF_GPU_",
    "TF_NUM_",
    "TF_USE_",
    "TF_XLA_",
    "XLA_",
    "KERAS_",
)
_NAMES = {
    "NCPUS",
    "GPU_DEVICE_ORDINAL",
    "NVIDIA_VISIBLE_DEVICES",
    "LOADEDMODULES",
    "_LMFILES_",
    "CONDA_DEFAULT_ENV",
    "VIRTUAL_ENV",
    "TMPDIR",
    "PARALLEL_SEQ",
}
_HIDDEN_NAMES = ("COOKIE", "TOKEN", "SECRET", "PASS", "CRED", "AUTH", "JWT", "KEY")
_KEY_LENGTH = 24
_DIGITS = frozenset("0123456789")
_LOWER = frozenset("abcdefghijklmnopqrstuvwxyz")
_UPPER = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_OF_KEYS = _DIGITS | _LOWER | _UPPER | frozenset("+_=-")
_DEVICES = {"CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"}
"""Their UUIDs look like keys but are not secret."""

_MOST_CHARACTERS = 4096


def kept(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables to record, by name."""
    prefixes = (*variable_prefixes(), *_PREFIXES)
    names = sorted(name for name in environment if name in _NAMES or name.startswith(prefixes))
    return {
        name: environment[name][:_MOST_CHARACTERS] for name in names if _is_kept(name, environment)
    }


def _is_kept(name: str, environment: Mapping[str, str]) -> bool:
    if any(word in name.upper() for word in _HIDDEN_NAMES):
        return False
    return name in _DEVICES or not looks_like_key(environment[name].strip())


def looks_like_key(value: str) -> bool:
    """Tell whether a value looks like a secret: a key, a token of parts, a URL with a password.

    A path, a list or a host does not. Without `re`, which takes 80 file-system calls to import:
    every job has variables.
    """
    letters = set(value)
    if len(value) >= _KEY_LENGTH and letters & _DIGITS:
        if letters <= _OF_KEYS and letters & (_LOWER | _UPPER):
            return True
        if letters <= _OF_KEYS | {"."} and letters & _LOWER and letters & _UPPER:
            return True
    return any(_begins_with_password(rest) for rest in value.split("://")[1:])


def _begins_with_password(rest: str) -> bool:
    """Tell whether the rest of a URL begins with ``USER:PASSWORD@``."""
    login, at, _ = rest.partition("@")
    return bool(at) and ":" in login and "/" not in login and not any(map(str.isspace, login))
