"""What every MNIST program does around its model: check, train, report, and end well."""

from __future__ import annotations

import importlib.util
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import mnist_events
from mnist_options import BadInputError, Options

if TYPE_CHECKING:
    import keras
    from mnist_data import Mnist

EXIT_WRONG_USE = 2
EXIT_INTERRUPTED = 130


def exit_with(main: Callable[[], None]) -> None:
    """Run a program's `main` and end the process with its exit code."""
    try:
        main()
    except BadInputError as error:
        print(f"{Path(sys.argv[0]).name}: {error}", file=sys.stderr)
        sys.exit(EXIT_WRONG_USE)
    except KeyboardInterrupt:
        print(f"{Path(sys.argv[0]).name}: interrupted", file=sys.stderr)
        sys.exit(EXIT_INTERRUPTED)


def run(build: Callable[[], keras.Model], options: Options, *, expand: bool = False) -> None:
    """Train the model that `build` returns and print what it reached."""
    # All that the user can get wrong is looked at before TensorFlow spends its seconds.
    _require("numpy", "tensorflow", "keras")
    if options.plots:
        _require("matplotlib")
        _make_writable(options.plots)
    with mnist_events.phase("load"):
        import mnist_data

        data = mnist_data.load(options.data, options.limit)
    _print_shapes(data)
    # Before the first import of either: both read these once.
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
    with mnist_events.phase("import TensorFlow"):
        import mnist_training

    with mnist_events.phase("train"):
        outcome = mnist_training.train(build, options, data, expand=expand)
    if options.plots:
        with mnist_events.phase("plot"):
            import mnist_plots

            for path in mnist_plots.write(options.plots, options.program, data, outcome):
                print(f"wrote {path}")
    mnist_events.emit("log", outcome.results())
    print(outcome.last_line(), flush=True)


def _require(*packages: str) -> None:
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    if missing:
        raise BadInputError(
            f"{' and '.join(missing)} cannot be imported; "
            f"run: python -m pip install {' '.join(missing)}, or load your site's module"
        )


def _make_writable(directory: Path) -> None:
    """Create `directory` and prove that a file can be made there."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            pass
    except OSError as error:
        raise BadInputError(
            f"--plots: cannot write to {directory}: {error.strerror}; name another directory"
        ) from error


def _print_shapes(data: Mnist) -> None:
    for part, images, labels in (
        ("training", data.x_train, data.y_train),
        ("test", data.x_test, data.y_test),
    ):
        print(f"{part}: images {images.shape} {images.dtype}, labels {labels.shape}", flush=True)
