"""hpcwatch: what a job really uses, while it runs and afterwards, and what to change."""

__version__ = "0.1.0"

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hpcwatch import keras as keras
    from hpcwatch.events import log as log
    from hpcwatch.events import phase as phase


def __getattr__(name: str) -> object:
    """Load what a program may call (`hpcwatch.log`) when it is first asked for."""
    import importlib

    if name in ("log", "phase"):
        found: object = getattr(importlib.import_module("hpcwatch.events"), name)
        globals()[name] = found  # from now on as fast as any other name
        return found
    if name == "keras":
        return importlib.import_module("hpcwatch.keras")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
