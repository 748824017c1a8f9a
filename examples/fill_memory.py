"""Augment MNIST in memory, again and again, and never let go of what was used.

    hpcwatch run -- python examples/fill_memory.py

What running out of memory looks like: a job with 2 GiB is killed after about two minutes. On a
machine without a limit, end it with Ctrl-C.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

import hpcwatch

MNIST = Path(__file__).resolve().parents[1] / "trainers" / "data" / "mnist.npz"
EPOCH_S = 2.0


def main() -> None:
    """Keep a shifted copy of a quarter of the training images of every epoch: 45 MiB each."""
    with hpcwatch.phase("load"), np.load(MNIST) as data:
        images = data["x_train"][::4].astype(np.float32) / 255
    kept = []
    while True:
        with hpcwatch.phase("augment"):
            kept.append(np.roll(images, len(kept) % 28, axis=2))
        hpcwatch.log(epoch=len(kept))
        print(f"epoch {len(kept)}", flush=True)
        time.sleep(EPOCH_S)


if __name__ == "__main__":
    main()
