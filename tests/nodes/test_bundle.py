"""How a probe is started on a node: shells, interpreters, greetings, the zip, and its importer."""

from __future__ import annotations

import io
import os
import shlex
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from node_parts import BARE, DEADLINE_S, PipeLink, name_of_python, probe, pythons

from hpcwatch import __version__
from hpcwatch.cluster.transport import ConnectError, Trouble, bundle
from hpcwatch.probe import bundled
from hpcwatch.probe.spec import PROTOCOL, READY, Spec, from_header

SPEC = Spec(interval_s=1.0, is_everyone=True)
SHELLS = [
    shell
    for shell in ("sh", "bash", "dash", "tcsh", "csh", "fish", "ksh", "zsh")
    if shutil.which(shell)
]
OLD_PYTHON = "#!/bin/sh\n[ \"$1\" = -V ] && echo 'Python 3.4.3' && exit\nexit 1\n"


def ready(kind: str, protocol: int = PROTOCOL) -> bytes:
    return f"{READY} {protocol} {kind} 3.9.1\n".encode()


class Script:
    """The far end of a link, written down beforehand: what it says, piece by piece."""

    def __init__(self, *pieces: bytes, complaint: str = "") -> None:
        self._pieces = list(pieces)
        self._complaint = complaint
        self.sent = b""

    def receive(self, timeout_s: float) -> bytes:
        if not self._pieces:
            raise TimeoutError
        return self._pieces.pop(0)

    def send(self, data: bytes) -> None:
        self.sent += data

    def complaint(self) -> str:
        return self._complaint

    def close(self) -> None:
        raise AssertionError("whoever opened a link closes it")


def failure(link: Script | PipeLink) -> ConnectError:
    with pytest.raises(ConnectError) as caught:
        bundle.greet(link, SPEC, DEADLINE_S)
    return caught.value


@pytest.mark.parametrize("version", [__version__, "other"])
@pytest.mark.parametrize("shell", SHELLS)
def test_any_login_shell_passes_the_command_on(shell: str, version: str) -> None:
    command = shlex.join(bundle.argv(sys.executable, version))
    link = PipeLink([shell, "-c", command])
    try:
        assert link.begin(SPEC).kind == ("package" if version == __version__ else "bundle")
        assert link.sample().node is not None
    finally:
        link.close()


def test_no_word_has_what_login_shells_treat_differently() -> None:
    words = bundle.argv("/opt/python", "1.2.3")
    assert not any(sign in word for word in words for sign in ("\n", "!", "\\", "'"))
    assert max(map(len, words)) < 1000  # csh takes no words of 1024 bytes
    assert words == bundle.argv("/opt/python", "1.2.3")


@pytest.mark.parametrize("name", ["with space", "it's", 'quo"ted', "$HOME;exit 3", "`false`"])
def test_a_path_is_a_path_whatever_is_in_it(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    wrapper = folder / "python"
    wrapper.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    wrapper.chmod(0o755)
    command = shlex.join(bundle.argv(str(wrapper), __version__))
    link = PipeLink(["/bin/sh", "-c", command], {"PATH": "/nothing/here"})
    try:
        assert link.begin(SPEC).kind == "package"
    finally:
        link.close()


@pytest.mark.parametrize("interpreter", ["", "/no/such/python", "/etc/passwd", "/bin/false", "/"])
def test_an_interpreter_that_is_none_there_gives_way_to_the_node_s_own(
    tmp_path: Path, interpreter: str
) -> None:
    (tmp_path / "python3").symlink_to(pythons()[-1])
    environment = {"PATH": f"{tmp_path}:{BARE['PATH']}"}
    with probe(interpreter, "other", environment) as link:
        assert link.begin(SPEC).kind == "bundle"
        assert link.sample().node is not None
        assert link.complaint() == ""


def test_the_user_s_python_variables_do_not_disturb(tmp_path: Path) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('not the real one')\n")
    (tmp_path / "sitecustomize.py").write_text("raise SystemExit('not the real one')\n")
    environment = {
        "PYTHONPATH": str(tmp_path),
        "PYTHONSTARTUP": str(tmp_path / "json.py"),
        "PYTHONVERBOSE": "1",
        "PYTHONHOME": "/nothing",
    }
    for version in (__version__, "other"):
        with probe(sys.executable, version, environment) as link:
            link.begin(SPEC)
            assert link.sample().node is not None
            assert link.complaint() == ""
    assert sorted(one.name for one in tmp_path.iterdir()) == ["json.py", "sitecustomize.py"]


def without_python(tmp_path: Path, python3: str | None) -> tuple[list[str], dict[str, str]]:
    """A command line for a node whose only Python is this one, and its environment."""
    if python3 is not None:
        (tmp_path / "python3").write_text(python3)
        (tmp_path / "python3").chmod(0o755)
    *words, shell, name, interpreter, starter, version, places = bundle.argv("", "other")
    assert words == ["/bin/sh", "-c"]
    # This machine has a Python where nodes have theirs.
    shell = shell.replace(" /usr/", " /nothing/")
    return [*words, shell, name, interpreter, starter, version, places], {"PATH": str(tmp_path)}


@pytest.mark.parametrize(("python3", "words"), [(OLD_PYTHON, "3.4.3"), (None, "missing")])
def test_a_node_without_python_says_so(tmp_path: Path, python3: str | None, words: str) -> None:
    command, environment = without_python(tmp_path, python3)
    link = PipeLink(command, environment)
    try:
        error = failure(link)
        assert link.process.wait(DEADLINE_S) == 127
    finally:
        link.close()
    assert error.trouble is Trouble.NO_PYTHON
    assert error.message == f"no Python 3.6 or newer (python3 is {words})"
    assert error.hint


def test_noise_before_the_greeting_is_skipped() -> None:
    line = ready("package")
    link = Script(b"Welcome to qb2\n\xff\xfe no newline", line[:7], line[7:] + b'{"a', b'":1}\n')
    greeting = bundle.greet(link, SPEC, 1.0)
    assert greeting == bundle.Greeting("package", "3.9.1", b'{"a')
    assert from_header(link.sent) == SPEC


def test_the_bundle_follows_the_header_where_it_is_asked_for() -> None:
    link = Script(ready("bundle"))
    assert bundle.greet(link, SPEC, 1.0).kind == "bundle"
    header, _, archive = link.sent.partition(b"\n")
    assert archive == bundle.bundle()
    assert from_header(header) == SPEC
    assert b'"bundle_size_bytes": %d' % len(archive) in header


def test_noise_without_end_is_given_up() -> None:
    error = failure(Script(*[b"x" * 30000] * 9))
    assert error.trouble is Trouble.PROBE
    assert error.hint


def test_a_node_that_says_nothing_is_late() -> None:
    error = failure(Script(b"motd\n", complaint="quota exceeded"))
    assert error.trouble is Trouble.TIMEOUT
    assert "quota exceeded" in error.message


ENDS: list[tuple[Sequence[bytes], str, str]] = [
    ((b"",), "bash: /bin/sh: no such file", "no such file"),
    ((b"This account is not available.\n", b""), "", "not available"),
    ((b"",), "", "ended before it began"),
]


@pytest.mark.parametrize(("pieces", "complaint", "words"), ENDS)
def test_an_end_before_the_greeting_has_the_node_s_own_words(
    pieces: Sequence[bytes], complaint: str, words: str
) -> None:
    error = failure(Script(*pieces, complaint=complaint))
    assert error.trouble is Trouble.PROBE
    assert words in error.message


def test_a_probe_of_another_protocol_is_refused() -> None:
    link = Script(ready("package", 99))
    assert failure(link).trouble is Trouble.PROBE
    assert link.sent == b""


def test_lines_are_put_together_from_pieces_of_any_size() -> None:
    data = b"one\n\ntwo three\n" + b"x" * 1000 + b"\nrest"
    for size in (1, 2, 3, 7, 1000, 5000):
        reader = bundle.LineReader()
        pieces = [data[start : start + size] for start in range(0, len(data), size)]
        lines = [line for piece in pieces for line in reader.feed(piece)]
        assert lines == [b"one", b"", b"two three", b"x" * 1000]
        assert reader.feed(b"\n") == [b"rest"]
        assert reader.feed(b"") == []


def test_a_line_without_end_is_an_error() -> None:
    reader = bundle.LineReader()
    chunk = b"x" * (1 << 20)
    for _ in range(4):
        assert reader.feed(chunk) == []
    with pytest.raises(ConnectError) as caught:
        reader.feed(b"x")
    assert caught.value.trouble is Trouble.PROBE


def test_the_bundle_is_a_zip_of_what_a_node_needs() -> None:
    assert bundle.bundle() is bundle.bundle()
    with zipfile.ZipFile(io.BytesIO(bundle.bundle())) as archive:
        names = archive.namelist()
        assert archive.testzip() is None
        assert archive.read("hpcwatch/__init__.py").decode() == f'__version__ = "{__version__}"\n'
    probe_folder = Path(bundled.__file__).parent
    assert {
        f"hpcwatch/probe/{one.relative_to(probe_folder)}" for one in probe_folder.rglob("*.py")
    } <= set(names)
    assert {"psutil/__init__.py", "psutil/_psutil_linux.abi3.so", "pynvml.py"} <= set(names)
    assert names[0] == "hpcwatch/probe/bundled.py"
    assert not [name for name in names if name.startswith("hpcwatch/") and "probe" not in name][1:]
    assert len(bundle.bundle()) < 400_000


# What runs on the node, with each Python there is: code that uses the importer.

IMPORTS = """
import os, sys
sys.path.insert(0, {folder!r})
import bundled
sys.meta_path.insert(0, bundled.Importer(bundled.Archive(open({archive!r}, "rb").read())))
{code}
"""


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A folder with the bundle, and the file that runs it."""
    (tmp_path / "bundle.zip").write_bytes(bundle.bundle())
    shutil.copy(bundled.__file__, tmp_path)
    (tmp_path / "private").mkdir()
    return tmp_path


def run_there(archive: Path, python: str, code: str, prefix: Sequence[str] = ()) -> str:
    script = IMPORTS.format(folder=str(archive), archive=str(archive / "bundle.zip"), code=code)
    done = subprocess.run(
        [*prefix, python, "-I", "-S", "-B", "-c", script],
        env={**BARE, "TMPDIR": str(archive / "private")},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.stderr == ""
    assert done.returncode == 0
    return done.stdout


@pytest.mark.parametrize("python", pythons(), ids=name_of_python)
def test_psutil_and_pynvml_come_from_the_bundle_and_leave_nothing(
    archive: Path, python: str
) -> None:
    code = "import psutil, pynvml\n"
    code += "print(psutil.virtual_memory().total, pynvml.NVML_TEMPERATURE_GPU)"
    total, gpu = run_there(archive, python, code).split()
    assert int(total) == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert gpu == "0"
    assert list((archive / "private").iterdir()) == []


def test_what_a_killed_probe_left_is_removed_and_nothing_else(archive: Path) -> None:
    private = archive / "private"
    ended = subprocess.Popen(["true"])
    ended.wait()
    left = private / f"hpcwatch-probe-{ended.pid}-abc"
    living = private / f"hpcwatch-probe-{os.getpid()}-abc"
    foreign = private / "hpcwatch-probe-notes"
    for folder in (left, living, foreign):
        folder.mkdir()
        (folder / "module.abi3.so").write_bytes(b"x")
    run_there(archive, sys.executable, "import psutil")
    assert sorted(private.iterdir()) == sorted([living, foreign])


def test_a_compiled_module_goes_to_the_next_folder_where_one_is_unusable(archive: Path) -> None:
    code = f"""
bundled.places = lambda: ["/nothing/here", "/proc", {str(archive / "private")!r}]
import psutil
print(psutil.Process().pid == os.getpid())
"""
    assert run_there(archive, sys.executable, code) == "True\n"


def test_a_full_disk_gives_way_to_the_next_folder(archive: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("needs root to mount a small file system")
    (archive / "full").mkdir()
    code = f"""
import subprocess
subprocess.check_call(["mount", "-t", "tmpfs", "-o", "size=16k", "none", {str(archive / "full")!r}])
bundled.places = lambda: [{str(archive / "full")!r}, {str(archive / "private")!r}]
import psutil
print(psutil.Process().pid == os.getpid(), os.listdir({str(archive / "full")!r}))
"""
    assert run_there(archive, sys.executable, code, ("unshare", "-m")) == "True []\n"


def test_a_module_that_fits_no_folder_is_not_there_and_says_why(archive: Path) -> None:
    code = """
bundled.places = lambda: ["/nothing/here", "/proc"]
try:
    import psutil
except ImportError as error:
    print(error)
"""
    said = run_there(archive, sys.executable, code)
    assert "/nothing/here: " in said
    assert "/proc: " in said


def test_the_private_folder_is_private(tmp_path: Path) -> None:
    folder = Path(bundled.make_folder(str(tmp_path)))
    assert folder.stat().st_mode & 0o777 == 0o700
    assert folder.parent == tmp_path
    bundled.remove(str(folder))
    assert not folder.exists()
