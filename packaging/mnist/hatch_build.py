"""Puts the digits into the wheel and the sdist: a checkout keeps them with the programs."""

from __future__ import annotations

import os
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

DIGITS = os.path.join("..", "..", "trainers", "data", "mnist.npz")


class DigitsHook(BuildHookInterface[Any]):
    """An unpacked sdist has the digits in the package already."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the digits of the checkout, if this is one."""
        del version
        digits = os.path.normpath(os.path.join(self.root, DIGITS))
        if os.path.isfile(digits):
            build_data["force_include"][digits] = "hpcwatch_mnist/mnist.npz"
