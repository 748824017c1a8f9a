"""Names of signals."""

from __future__ import annotations


def signal_name(number: int | None) -> str:
    """Return ``SIGTERM`` for 15; ``signal 99`` for a number that has no name."""
    import signal  # its enums take longer than many programs that are watched

    try:
        return signal.Signals(number or 0).name
    except ValueError:
        return f"signal {number}"


def numbered_signal_name(number: int) -> str:
    """Return a signal's name with its number: ``SIGKILL (9)``, ``signal 99``."""
    name = signal_name(number)
    return f"{name} ({number})" if name.startswith("SIG") else name


def how_ended(exit_code: int | None, signal_number: int | None) -> str:
    """Return how a process ended, in a word or two: ``ok``, ``exit 3``, ``signal 9``."""
    if signal_number:
        return f"signal {signal_number}"
    return f"exit {exit_code}" if exit_code else "ok"
