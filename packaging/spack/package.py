# Copyright Spack Project Developers. See COPYRIGHT file for details.
#
# SPDX-License-Identifier: (Apache-2.0 OR MIT)

from spack.package import *
from spack_repo.builtin.build_systems.python import PythonPackage


class PyHpcwatch(PythonPackage):
    """What your HPC job really uses, while it runs and afterwards, and what to change."""

    homepage = "https://pypi.org/project/hpcwatch/"
    pypi = "hpcwatch/hpcwatch-0.2.0.tar.gz"

    license("MIT")

    # PyPI's, filled in when a version is uploaded.
    version("0.2.0", sha256="0000000000000000000000000000000000000000000000000000000000000000")

    depends_on("python@3.9:", type=("build", "run"))
    depends_on("py-hatchling@1.26:", type="build")
    with default_args(type=("build", "run")):
        depends_on("py-nvidia-ml-py@12:")
        depends_on("py-paramiko@3:")
        depends_on("py-psutil@5.9:")
        depends_on("py-rich@13:")
        depends_on("py-tomli@2:", when="^python@:3.10")

    conflicts("platform=darwin", msg="it reads /proc")
    conflicts("platform=windows", msg="it reads /proc")
