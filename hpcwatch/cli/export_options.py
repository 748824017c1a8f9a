"""The options that say where numbers go, for `export`, `run` and `job`.

`run` reads them before it starts a program: nothing of the export is imported unless one is given.
"""

from __future__ import annotations

import argparse

from hpcwatch.base.errors import EXIT_USAGE, HpcwatchError
from hpcwatch.cli.arguments import Parser

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hpcwatch.export.wanted import Wanted

NAMES = ("hpcwatch", "jobstats")
_WAYS = ("listen", "textfile", "push", "otlp")
_TEXTFILE_ENDING = ".prom"


def add(parser: Parser) -> None:
    """Add the options."""
    group = parser.add_argument_group("numbers for Prometheus")
    group.add_argument(
        "--listen",
        metavar="[ADDRESS:]PORT",
        help="serve /metrics; the address is 127.0.0.1 unless another is given, port 0 is any free"
        " one",
    )
    group.add_argument(
        "--textfile",
        metavar="FILE.prom",
        help="keep FILE.prom up to date for a node exporter; it is removed at the end",
    )
    group.add_argument("--push", metavar="URL", help="push to a Pushgateway")
    group.add_argument(
        "--otlp", metavar="URL", help="send to an OpenTelemetry collector, by OTLP/HTTP"
    )
    group.add_argument(
        "--names",
        choices=NAMES,
        default=NAMES[0],
        help="whose names: hpcwatch's, or those of jobstats' exporters (default: %(default)s)",
    )
    group.add_argument(
        "--cluster", metavar="NAME", help="the label cluster (default: Slurm's name, if known)"
    )
    group.add_argument(
        "--token-file",
        metavar="FILE",
        help="a file of mode 0600 with the bearer token that --listen asks for",
    )
    group.add_argument(
        "--push-token-file",
        metavar="FILE",
        help="a file of mode 0600 with the bearer token for --push and --otlp",
    )


def wanted(options: argparse.Namespace | object, has_another_way: bool = False) -> Wanted | None:
    """Return where the numbers go; None if nowhere. Raises HpcwatchError before any work.

    ``has_another_way`` is for a command that can print them.
    """
    given = {name: getattr(options, name) for name in _WAYS}
    token_path, push_path = (getattr(options, name) for name in ("token_file", "push_token_file"))
    if token_path is not None and given["listen"] is None:
        raise HpcwatchError("--token-file is for --listen", "add --listen PORT", EXIT_USAGE)
    if push_path is not None and given["push"] is None and given["otlp"] is None:
        raise HpcwatchError("--push-token-file is for --push and --otlp", "", EXIT_USAGE)
    if all(value is None for value in given.values()):
        is_named = getattr(options, "names", NAMES[0]) != NAMES[0]
        if not has_another_way and (is_named or getattr(options, "cluster", None)):
            hint = "say --listen PORT, --textfile FILE.prom, --push URL or --otlp URL"
            what = "--names and --cluster are about numbers that go nowhere"
            raise HpcwatchError(what, hint, EXIT_USAGE)
        return None
    from hpcwatch.base import web_address
    from hpcwatch.export.wanted import Wanted, address_of

    listen = given["listen"]
    if given["textfile"] is not None:
        _check_textfile(given["textfile"])
    for name in ("push", "otlp"):
        if given[name] is not None:
            _check_url(f"--{name}", given[name], push_path is not None)
    return Wanted(
        names=getattr(options, "names"),  # noqa: B009 # argparse made it
        listen=None if listen is None else address_of(listen),
        textfile=given["textfile"],
        push=given["push"],
        otlp=given["otlp"],
        token=None if token_path is None else web_address.token_of(token_path),
        push_token=None if push_path is None else web_address.token_of(push_path),
        cluster=getattr(options, "cluster", None) or "",
    )


def _check_textfile(path: str) -> None:
    if not path.endswith(_TEXTFILE_ENDING):
        hint = "node exporters read only files whose names end in .prom"
        raise HpcwatchError(f"--textfile cannot be {path!r}", hint, EXIT_USAGE)
    from hpcwatch.cli.reporting import unwritable

    refused = unwritable(path)
    if refused is not None:
        raise HpcwatchError(refused, exit_code=EXIT_USAGE)


def _check_url(name: str, url: str, has_token: bool) -> None:
    from urllib.parse import urlsplit

    from hpcwatch.base import web_address

    web_address.check_address(url)
    parts = urlsplit(url)
    is_here = parts.hostname in ("127.0.0.1", "localhost", "::1")
    if has_token and parts.scheme != "https" and not is_here:
        hint = "give an address with https"
        raise HpcwatchError(f"{name} would send the token unencrypted", hint, EXIT_USAGE)
