"""The recipes of other package managers: each is read by its own tool, and asks for what we ask."""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hpcwatch import __version__

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
PACKAGING = ROOT / "packaging"
CONDA = PACKAGING / "conda" / "recipe.yaml"
SPACK = PACKAGING / "spack" / "package.py"
[EASYBUILD] = (PACKAGING / "easybuild").glob("*.eb")
LUA = PACKAGING / "modulefiles" / f"{__version__}.lua"
TCL = PACKAGING / "modulefiles" / __version__
ENDS_BY_ITSELF = "tomli"
"""Only Python before 3.11 needs it; EasyBuild's recipe is for 3.12."""


def wanted() -> dict[str, str]:
    """The dependencies in pyproject.toml: name -> least version."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    matches = [re.match(r"([\w-]+)>=([\d.]+)", text) for text in project["dependencies"]]
    found = {match[1]: match[2] for match in matches if match is not None}
    assert len(found) == len(project["dependencies"]) >= 5
    return found


def least_hatchling() -> str:
    """What builds us: older ones end with a TypeError about our licence files."""
    files = (ROOT / "pyproject.toml", PACKAGING / "mnist" / "pyproject.toml")
    asked = {tomllib.loads(file.read_text())["build-system"]["requires"][0] for file in files}
    [least] = asked
    return str(least.removeprefix("hatchling>="))


def least_python() -> str:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return str(project["requires-python"].removeprefix(">="))


def test_conda_s_recipe_asks_for_the_same() -> None:
    text = CONDA.read_text()
    run = text.partition("  run:\n")[2].partition("\n\n")[0]
    found = dict(re.findall(r"^    - ([\w-]+) >=([\d.]+)", run, re.MULTILINE))
    assert found == wanted()
    assert f"    - hatchling >={least_hatchling()}\n" in text
    assert f"version: {__version__}\n" in text


def test_citation_and_changes_are_of_this_version() -> None:
    assert f"\nversion: {__version__}\n" in (ROOT / "CITATION.cff").read_text()
    heading = re.search(r"^## ([\d.]+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert heading is not None
    assert heading[1] == __version__


def test_rattler_build_renders_conda_s_recipe() -> None:
    if importlib.util.find_spec("rattler_build") is None:
        pytest.skip("py-rattler-build is not installed")
    from rattler_build import Stage0Recipe, VariantConfig

    variants = VariantConfig({"python_min": [least_python()]})
    [rendered] = Stage0Recipe.from_file(str(CONDA)).render(variants)
    recipe = rendered.recipe.to_dict()
    assert recipe["package"] == {"name": "hpcwatch", "version": __version__}
    asked = " ".join(map(str, recipe["requirements"]["run"]))
    assert f"python >={least_python()}" in asked


def test_spack_s_recipe_asks_for_the_same() -> None:
    calls = [
        (call.func.id, call.args[0].value)
        for call in ast.walk(ast.parse(SPACK.read_text()))
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Name)
        and call.args
        and isinstance(call.args[0], ast.Constant)
    ]
    asked = [re.match(r"(?:py-)?([\w-]+)@([\d.]+):$", str(text)) for name, text in calls]
    found = {match[1]: match[2] for match in asked if match is not None}
    builds = {"python": least_python(), "hatchling": least_hatchling()}
    assert found == {**wanted(), **builds}
    assert ("version", __version__) in calls


def at_least(version: str, least: str) -> bool:
    return [*map(int, version.split("."))] >= [*map(int, least.split("."))]


def test_easybuild_s_recipe_has_versions_that_are_new_enough() -> None:
    values: dict[str, object] = {}
    exec(EASYBUILD.read_text(), values)
    assert (values["name"], values["version"]) == ("hpcwatch", __version__)
    assert EASYBUILD.name == f"hpcwatch-{__version__}-GCCcore-13.3.0.eb"
    said = EASYBUILD.read_text()
    found = dict(re.findall(r"\('([\w-]+)', '([\d.]+)'", said))
    found.update(re.findall(r"([a-z]+) (\d[\d.]+)", said.partition("Python-bundle-PyPI")[2]))
    for name, least in wanted().items():
        if name != ENDS_BY_ITSELF:
            assert at_least(found[name], least), name
    assert at_least(found["Python"], "3.11"), "tomli is needed before that"
    assert at_least(found["hatchling"], least_hatchling())


def test_easybuild_reads_its_recipe() -> None:
    if importlib.util.find_spec("easybuild") is None:
        pytest.skip("easybuild-framework is not installed")
    from easybuild.framework.easyconfig.parser import EasyConfigParser

    made = EasyConfigParser(str(EASYBUILD)).get_config_dict()
    assert [entry[0] for entry in made["exts_list"]] == ["nvidia-ml-py", "hpcwatch"]
    assert made["toolchain"]["name"] in EASYBUILD.name


_LUA = """
function help(text) end
function whatis(text) io.write("whatis " .. text .. "\\n") end
function pathJoin(...) return table.concat({...}, "/") end
function prepend_path(name, value) io.write("prepend " .. name .. " " .. value .. "\\n") end
function append_path(name, value) io.write("append " .. name .. " " .. value .. "\\n") end
dofile(arg[1])
"""
_TCL = """
proc module-whatis {text} { puts "whatis $text" }
proc prepend-path {name value} { puts "prepend $name $value" }
proc append-path {name value} { puts "append $name $value" }
source [lindex $argv 0]
ModulesHelp
"""


@pytest.mark.parametrize(
    ("program", "ending", "stubs", "file"),
    [("lua5.4", "lua", _LUA, LUA), ("tclsh", "tcl", _TCL, TCL)],
    ids=["lua", "tcl"],
)
def test_modulefiles_set_the_paths_of_what_the_wheel_installs(
    program: str, ending: str, stubs: str, file: Path, tmp_path: Path
) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    script = tmp_path / f"run.{ending}"
    script.write_text(stubs)
    done = subprocess.run([program, script, file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    root = f"/opt/hpcwatch/{__version__}"
    set_paths = dict(re.findall(r"^prepend (\w+) (.+)$", done.stdout, re.MULTILINE))
    assert set_paths == {
        "PATH": f"{root}/bin",
        "MANPATH": f"{root}/share/man",
        "XDG_DATA_DIRS": f"{root}/share",
        "FPATH": f"{root}/share/zsh/site-functions",
    }
    assert "append MANPATH " in done.stdout
    assert __version__ in done.stdout.partition("whatis")[2]


def test_packages_in_folders_of_their_own_are_found_by_the_installed_script(tmp_path: Path) -> None:
    """As Spack and EasyBuild install them: each below a prefix of its own, named in PYTHONPATH."""
    python = os.path.realpath(sys.executable)
    inside = Path("lib") / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    import rich

    site = Path(rich.__file__).parents[1]
    for prefix, folder in (("ours", ROOT / "hpcwatch"), ("rich", site / "rich")):
        (tmp_path / prefix / inside).mkdir(parents=True)
        (tmp_path / prefix / inside / folder.name).symlink_to(folder)
    (tmp_path / "ours" / "bin").mkdir()
    for name in ("hpcwatch", "hpcwatch-python"):
        text = (PACKAGING / "scripts" / name).read_text()
        target = tmp_path / "ours" / "bin" / name
        target.write_text(re.sub(r"\A#!python\n", f"#!{python}\n", text))
        target.chmod(0o755)
    recording = ROOT / "examples" / "recordings" / "mnist_cnn"
    program = tmp_path / "ours" / "bin" / "hpcwatch"
    command = [str(program), "replay", "--once", str(recording)]
    plain = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    for given in (
        {"PYTHONPATH": str(tmp_path / "rich" / inside)},
        {"EBPYTHONPREFIXES": str(tmp_path / "rich")},
    ):
        done = subprocess.run(command, capture_output=True, text=True, env={**plain, **given})
        assert (done.returncode, done.stderr) == (0, "")
        assert "CPU" in done.stdout
