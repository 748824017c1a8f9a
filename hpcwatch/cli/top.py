"""`hpcwatch top HOST...`: the live view of hosts, without a job."""

from __future__ import annotations

import os

from hpcwatch.base.errors import EXIT_USAGE, HpcwatchError
from hpcwatch.cli.arguments import Parser
from hpcwatch.cli.node_ways import settings_for, ways_to
from hpcwatch.cli.watch_options import add_view_options, is_one_picture
from hpcwatch.cluster.schedulers.hosts import fold_hosts, hosts_named
from hpcwatch.monitor.known import Known
from hpcwatch.monitor.watch import Watch


def main(arguments: list[str]) -> int:
    """Watch hosts."""
    parser = Parser(
        prog="hpcwatch top", description="Watch any hosts, live: everything that runs there."
    )
    parser.add_argument("hosts", nargs="*", metavar="HOST", help="qb001 or qb[001-004,010]")
    add_view_options(parser)
    options = parser.parse_args(arguments)
    if options.format == "qshow":
        raise HpcwatchError("the format qshow needs a job", "see: hpcwatch job --help", EXIT_USAGE)
    hosts = _hosts(options.hosts)
    settings = settings_for(options, len(hosts))
    watch = Watch(
        title=fold_hosts(hosts),
        questions=None,
        known=Known((), 0.0),
        hosts=hosts,
        opener=lambda _job: ways_to(None, options.transport, settings),
        settings=settings,
        is_recorded=False,
    )
    watch.start()
    try:
        if is_one_picture(options):
            from hpcwatch.cli.one_picture import once

            return once(watch, options)
        from hpcwatch.cli.live_view import live

        return live(watch, options).code
    finally:
        watch.stop()


def _hosts(words: list[str]) -> tuple[str, ...]:
    """Return the hosts that were named, or this host. Raises HpcwatchError."""
    return tuple(dict.fromkeys(hosts_named(words))) or (os.uname().nodename,)
