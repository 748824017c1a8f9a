"""Reads the MNIST digits from an .npz file and says plainly what is wrong with it."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from mnist_options import BUNDLED_DATA, BadInputError

Images: TypeAlias = npt.NDArray[np.float32]
Labels: TypeAlias = npt.NDArray[np.int64]

SIDE = 28  # pixels
CLASSES = 10
ADVICE = "leave --data out to use the bundled digits"
MISSING = "install the digits (pip install hpcwatch-mnist), or name an mnist.npz with --data"


class Mnist(NamedTuple):
    """Images (count, 28, 28) with ink from 0 to 1, and labels (count,) from 0 to 9."""

    x_train: Images
    y_train: Labels
    x_test: Images
    y_test: Labels


def load(path: Path, limit: int | None) -> Mnist:
    """The digits in `path`; with a limit, the first `limit` images for training and for test."""
    try:
        archive = np.load(path, allow_pickle=False)
    except OSError as error:
        advice = MISSING if path == BUNDLED_DATA else ADVICE
        raise BadInputError(f"cannot read {path}: {error.strerror or error}; {advice}") from error
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise BadInputError(f"{path} is not an .npz file; {ADVICE}") from error
    if not isinstance(archive, np.lib.npyio.NpzFile):
        raise BadInputError(f"{path} is a single array, not an .npz file; {ADVICE}")
    with archive:
        x_train, y_train = _pair(archive, path, "train", limit)
        x_test, y_test = _pair(archive, path, "test", limit)
    return Mnist(x_train, y_train, x_test, y_test)


def _pair(
    archive: np.lib.npyio.NpzFile, path: Path, part: str, limit: int | None
) -> tuple[Images, Labels]:
    """The images and labels of one part, "train" or "test", checked and cut to `limit`."""
    images, labels = _member(archive, path, f"x_{part}"), _member(archive, path, f"y_{part}")
    if images.shape[1:] != (SIDE, SIDE) or images.dtype != np.uint8:
        _refuse(path, f"x_{part}", images, "(count, 28, 28) of uint8")
    if labels.shape != (len(images),) or labels.dtype.kind not in "iu":
        _refuse(path, f"y_{part}", labels, f"({len(images)},) of integers")
    if not len(images):
        raise BadInputError(f"{path}: x_{part} holds no image; {ADVICE}")
    if labels.min() < 0 or labels.max() >= CLASSES:
        raise BadInputError(f"{path}: y_{part} holds labels other than 0 to 9; {ADVICE}")
    ink = images[:limit].astype(np.float32) / np.float32(255)
    return ink, labels[:limit].astype(np.int64)


def _member(archive: np.lib.npyio.NpzFile, path: Path, key: str) -> npt.NDArray[np.generic]:
    try:
        array: npt.NDArray[np.generic] = archive[key]
    except KeyError as error:
        raise BadInputError(
            f"{path} has no array {key}, needed are x_train, y_train, x_test, y_test; {ADVICE}"
        ) from error
    except (ValueError, EOFError, OSError, zipfile.BadZipFile, zlib.error) as error:
        raise BadInputError(f"{path}: array {key} is damaged ({error}); {ADVICE}") from error
    return array


def _refuse(path: Path, key: str, array: npt.NDArray[np.generic], wanted: str) -> None:
    raise BadInputError(
        f"{path}: {key} is {array.shape} of {array.dtype}, needed is {wanted}; {ADVICE}"
    )
