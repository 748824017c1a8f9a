"""`hpcwatch trainers DIR`: copy the MNIST programs and their data into a folder."""

from __future__ import annotations

import os
import shlex
import shutil

from hpcwatch.base import single_file
from hpcwatch.base.clean import clean
from hpcwatch.base.errors import EXIT_FAILURE, EXIT_USAGE, HpcwatchError, os_reason
from hpcwatch.cli.arguments import Parser

_DIGITS = os.path.join("data", "mnist.npz")


def main(arguments: list[str]) -> int:
    """Copy the programs and say what to type next."""
    parser = Parser(
        prog="hpcwatch trainers",
        description="Copy the MNIST programs and their data into a folder, to try hpcwatch on.",
    )
    what = "where to copy them (default: ./trainers)"
    parser.add_argument("folder", metavar="FOLDER", nargs="?", default="trainers", help=what)
    folder = parser.parse_args(arguments).folder
    source = _source()
    names = sorted(name for name in os.listdir(source) if not name.startswith(("_", ".")))
    taken = [name for name in names if os.path.lexists(os.path.join(folder, name))]
    if taken:
        hint = f"it has a {taken[0]}; name a new folder"
        raise HpcwatchError(f"nothing copied to {folder}", hint, EXIT_USAGE)
    try:
        shutil.copytree(
            source,
            folder,
            dirs_exist_ok=True,
            copy_function=shutil.copyfile,
            ignore=shutil.ignore_patterns("__pycache__", "*.pyc"),
        )
    except (OSError, shutil.Error) as error:
        raise HpcwatchError(f"cannot copy to {folder or repr(folder)}", os_reason(error)) from None
    digits = _copy_digits(os.path.join(folder, _DIGITS))
    programs = ", ".join(name for name in names if name.endswith(".py"))
    print(f"Copied to {clean(folder)}: {programs}")
    to_type = os.path.join(".", folder) if folder.startswith("-") else folder
    if not digits:
        print(
            "The digits (10 MB) are not installed: pip install 'hpcwatch[train]', or in a checkout"
            " of hpcwatch: pip install ./packaging/mnist; then copy the programs again."
        )
        print("With an mnist.npz of your own: hpcwatch run -- python mnist_cnn.py --data FILE")
        return 0
    print(f"Next:  cd {clean(shlex.quote(to_type))} && hpcwatch run -- python mnist_cnn.py")
    return 0


def _copy_digits(target: str) -> bool:
    """Copy the digits to the programs if needed; return False if they are not installed."""
    if os.path.exists(target):
        return True
    try:
        from hpcwatch_mnist import FILE
    except ImportError:
        return False
    try:
        shutil.copyfile(FILE, target)
    except OSError as error:
        raise HpcwatchError(f"cannot copy to {target}", os_reason(error)) from None
    return True


def _source() -> str:
    """Return the programs' folder: inside an installed package, or next to it in a checkout."""
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    for folder in (
        os.path.join(package, "_trainers"),
        os.path.join(os.path.dirname(package), "trainers"),
    ):
        if os.path.isdir(folder):
            return folder
    hint = single_file.LACKING_HINT if single_file.path() else "reinstall hpcwatch"
    raise HpcwatchError("the programs are missing", hint, EXIT_FAILURE)
