"""The bundled digits are the real ones, and any other file is taken or refused with a reason."""

from __future__ import annotations

import hashlib
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("numpy", reason="the trainers need NumPy: pip install numpy")

import mnist_data
import numpy as np
from mnist_options import BUNDLED_DATA, BadInputError

SHA256 = {
    "x_train": "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757",
    "y_train": "1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13",
    "x_test": "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161",
    "y_test": "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5",
}


@pytest.mark.parametrize("key", SHA256)
def test_bundled_array_is_the_original(key: str) -> None:
    with np.load(BUNDLED_DATA) as archive:
        assert set(archive) == set(SHA256)
        assert hashlib.sha256(archive[key].tobytes()).hexdigest() == SHA256[key]


def test_readme_beside_the_data_names_authors_licence_and_hashes() -> None:
    text = (BUNDLED_DATA.parent / "README.md").read_text()
    assert all(digest in text for digest in SHA256.values())
    assert "Yann LeCun" in text
    assert "Corinna Cortes" in text
    assert "CC BY-SA 3.0" in text


def test_load_scales_ink_and_keeps_labels() -> None:
    mnist = mnist_data.load(BUNDLED_DATA, None)
    assert mnist.x_train.shape == (60000, 28, 28)
    assert mnist.x_test.shape == (10000, 28, 28)
    assert mnist.x_train.dtype == np.float32
    assert (mnist.x_train.min(), mnist.x_train.max()) == (0.0, 1.0)
    assert mnist.y_train[:5].tolist() == [5, 0, 4, 1, 9]
    assert mnist.y_test[:5].tolist() == [7, 2, 1, 0, 4]


def test_limit_takes_the_first_images_of_both_parts() -> None:
    whole, part = mnist_data.load(BUNDLED_DATA, None), mnist_data.load(BUNDLED_DATA, 12000)
    assert (len(part.x_train), len(part.y_train)) == (12000, 12000)
    assert (len(part.x_test), len(part.y_test)) == (10000, 10000)
    assert (part.x_train == whole.x_train[:12000]).all()
    assert (part.y_train == whole.y_train[:12000]).all()
    assert len(mnist_data.load(BUNDLED_DATA, 300).x_test) == 300


def save(path: Path, **changes: Any) -> None:
    """A small right file in which `changes` replace arrays; None leaves one out."""
    arrays: dict[str, Any] = {
        "x_train": np.zeros((6, 28, 28), np.uint8),
        "y_train": np.arange(6, dtype=np.uint8),
        "x_test": np.zeros((4, 28, 28), np.uint8),
        "y_test": np.arange(4, dtype=np.uint8),
    }
    kept = {key: array for key, array in (arrays | changes).items() if array is not None}
    np.savez(path, **kept)


def save_single(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, np.zeros((6, 28, 28), np.uint8))


def save_truncated(path: Path) -> None:
    save(path)
    path.write_bytes(path.read_bytes()[:2000])


def save_damaged(path: Path) -> None:
    """A whole archive in which one array's bytes no longer match their checksum."""
    save(path)
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        content[archive.getinfo("y_train.npy").header_offset + 180] ^= 0xFF
    path.write_bytes(content)


WRONG_FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda path: None, "cannot read .*No such file"),
    "directory": (lambda path: path.mkdir(), "cannot read .*directory"),
    "empty": (lambda path: path.touch(), "is not an .npz file"),
    "text": (lambda path: path.write_text("label,pixel0\n5,0\n"), "is not an .npz file"),
    "single array": (save_single, "is a single array"),
    "truncated": (save_truncated, "is not an .npz file"),
    "damaged": (save_damaged, "array y_train is damaged"),
    "key": (lambda path: save(path, y_test=None), "has no array y_test"),
    "flat images": (
        lambda path: save(path, x_train=np.zeros((6, 784), np.uint8)),
        r"x_train is \(6, 784\) of uint8, needed is \(count, 28, 28\)",
    ),
    "small images": (
        lambda path: save(path, x_test=np.zeros((4, 8, 8), np.uint8)),
        r"x_test is \(4, 8, 8\)",
    ),
    "float images": (
        lambda path: save(path, x_train=np.zeros((6, 28, 28))),
        "x_train .* of float64, needed is .* of uint8",
    ),
    "too few labels": (
        lambda path: save(path, y_train=np.zeros(5, np.uint8)),
        r"y_train is \(5,\) of uint8, needed is \(6,\) of integers",
    ),
    "float labels": (lambda path: save(path, y_test=np.zeros(4)), "y_test .* of float64"),
    "label 10": (
        lambda path: save(path, y_test=np.array([0, 1, 2, 10])),
        "y_test holds labels other than 0 to 9",
    ),
    "label -1": (
        lambda path: save(path, y_train=np.array([0, 1, 2, 3, 4, -1])),
        "y_train holds labels other than 0 to 9",
    ),
    "no image": (
        lambda path: save(path, x_test=np.zeros((0, 28, 28), np.uint8), y_test=np.zeros(0, int)),
        "x_test holds no image",
    ),
}


@pytest.mark.parametrize("case", WRONG_FILES)
def test_wrong_file_is_refused_with_its_reason(case: str, tmp_path: Path) -> None:
    make, reason = WRONG_FILES[case]
    path = tmp_path / "digits.npz"
    make(path)
    with pytest.raises(BadInputError) as refusal:
        mnist_data.load(path, None)
    message = str(refusal.value)
    assert re.search(reason, message)
    assert str(path) in message
    assert "leave --data out" in message
    assert "\n" not in message


def test_right_file_of_other_digits_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "digits.npz"
    save(path)
    assert mnist_data.load(path, 5).y_train.tolist() == [0, 1, 2, 3, 4]


def test_where_the_bundled_digits_are_missing_it_says_how_to_get_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = tmp_path / "data" / "mnist.npz"
    monkeypatch.setattr("mnist_data.BUNDLED_DATA", missing)
    with pytest.raises(BadInputError, match="pip install hpcwatch-mnist"):
        mnist_data.load(missing, None)
