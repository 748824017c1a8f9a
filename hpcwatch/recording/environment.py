"""The environment variables that a run records: those that explain how it ran, no secret. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from hpcwatch.cluster.schedulers import variable_prefixes

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
_HIDDEN_NAME = r"(?i)COOKIE|TOKEN|SECRET|PASS|CRED|AUTH|JWT|KEY"
_LIKE_A_KEY = (
    r"(?s)(?:(?=.*[0-9])(?=.*[A-Za-z])[A-Za-z0-9+_=-]{24,}"  # a key, not a path, list or host
    r"|(?=.*[0-9])(?=.*[a-z])(?=.*[A-Z])[A-Za-z0-9+_=.-]{24,}"  # a token of several parts
    r"|.*://[^/@\s]*:[^/@\s]*@.*)"  # a URL with a password
)
_DEVICES = {"CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"}
"""Their UUIDs look like keys but are not secret."""

_MOST_CHARACTERS = 4096


def kept(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables to record, by name."""
    prefixes = (*variable_prefixes(), *_PREFIXES)
    names = sorted(name for name in environment if name in _NAMES or name.startswith(prefixes))
    if not names:
        return {}
    import re  # takes milliseconds

    return {
        name: value[:_MOST_CHARACTERS]
        for name, value in ((name, environment[name]) for name in names)
        if not re.search(_HIDDEN_NAME, name)
        and (name in _DEVICES or not re.fullmatch(_LIKE_A_KEY, value.strip()))
    }
