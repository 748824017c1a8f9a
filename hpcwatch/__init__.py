"""hpcwatch: what a job really uses, while it runs and afterwards, and what to change."""

__version__ = "0.2.0"

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hpcwatch import keras as keras
    from hpcwatch.events import log as log
    from hpcwatch.events import phase as phase


def __getattr__(name: str) -> object:
    """Load what a program may call (`hpcwatch.log`) when it is first asked for."""
    if name in ("log", "phase"):
        from hpcwatch.events import log, phase

        globals().update(log=log, phase=phase)  # from now on as fast as any other name
        return globals()[name]
    if name == "keras":
        import hpcwatch.keras

        return hpcwatch.keras
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
