"""Which environment variables a run keeps: those that explain how it ran, never a secret. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

_PREFIXES = (
    "PBS_",
    "SLURM_",
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
    "TF_",
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
_SECRET_NAME = re.compile(r"COOKIE|TOKEN|SECRET|PASS|CRED|AUTH|JWT|KEY", re.IGNORECASE)
_SECRET_VALUE = re.compile(r"(?=[^/:.,]*\d)(?=[^/:.,]*[A-Za-z])[A-Za-z0-9+_=-]{24,}")
"""One unbroken run of letters and digits: a key or a token, not a path or a list."""

_MOST_CHARACTERS = 4096


def kept(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables worth keeping, by name."""
    return {
        name: value[:_MOST_CHARACTERS]
        for name, value in sorted(environment.items())
        if (name in _NAMES or name.startswith(_PREFIXES))
        and not _SECRET_NAME.search(name)
        and not _SECRET_VALUE.fullmatch(value)
    }
