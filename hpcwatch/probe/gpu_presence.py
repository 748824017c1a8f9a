"""Whether a node has a driver for GPUs: a few looks at paths, before any library is loaded."""

import os

_NVIDIA = ("/dev/nvidiactl", "/proc/driver/nvidia/version", "/dev/dxg")
_AMD = ("/dev/kfd",)
_NVML = "libnvidia-ml.so.1"
_LIBRARY_FOLDERS = (
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib64",
    "/usr/lib",
    "/usr/local/nvidia/lib64",  # a container's
    "/.singularity.d/libs",
    "/usr/lib/wsl/lib",
)


def has_nvidia() -> bool:
    """Return True if there are signs of NVIDIA's driver, even of one that is not loaded."""
    if has_nvidia_device():
        return True
    added = os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep)
    folders = [folder for folder in added if folder] + list(_LIBRARY_FOLDERS)
    return any(os.path.exists(os.path.join(folder, _NVML)) for folder in folders)


def has_nvidia_device() -> bool:
    """Return True if NVIDIA's driver is loaded: a library alone may be in any image."""
    return any(os.path.exists(path) for path in _NVIDIA)


def has_amd() -> bool:
    """Return True if the node's kernel offers AMD GPUs for computing."""
    return any(os.path.exists(path) for path in _AMD)


def has_render_node(folder: str = "/dev/dri") -> bool:
    """Return True if the kernel offers any vendor's GPU for computing or drawing."""
    try:
        return any(name.startswith("renderD") for name in os.listdir(folder))
    except OSError:
        return False
