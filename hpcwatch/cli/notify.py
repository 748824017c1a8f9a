"""`hpcwatch notify`: what is reported where, and a test message."""

from __future__ import annotations

import os
import time

from hpcwatch import config
from hpcwatch.base.clean import clean
from hpcwatch.base.errors import EXIT_FAILURE, EXIT_USAGE, HpcwatchError
from hpcwatch.base.output import complain
from hpcwatch.cli.arguments import Parser
from hpcwatch.cli.notify_options import add_notify
from hpcwatch.monitor.notify.message import Message, Subject, line
from hpcwatch.monitor.notify.plan import Plan, Ways, plan_of
from hpcwatch.monitor.notify.process import deliveries
from hpcwatch.probe.listing import login_name

_TEXT = "hpcwatch notify --test: this is where messages about your runs and jobs arrive"


def main(arguments: list[str]) -> int:
    """Print where messages go, or send a test message; 1 if a way fails."""
    parser = Parser(
        prog="hpcwatch notify",
        description="Show where messages about runs and jobs go, and about what, as [notify] and "
        "--notify say; with --test, send one.",
    )
    add_notify(parser)
    parser.add_argument("--test", action="store_true", help="send a test message on every way")
    options = parser.parse_args(arguments)
    plan = plan_of(options.notify, config.load().notify)
    if plan is None:
        hint = "write [notify] mail, webhook_file or command, or say --notify mail:ADDRESS"
        raise HpcwatchError("nothing is reported anywhere", hint, EXIT_USAGE)
    if options.test:
        return _tested(plan.ways)
    for row in (*_where(plan.ways), _what(plan)):
        print(row)
    return 0


def _tested(ways: Ways) -> int:
    about = Subject("test", login_name(os.getuid()), os.uname().nodename)
    text = line(Message("test", _TEXT, time.time()), about)
    code = 0
    for name, deliver in deliveries(ways, is_shown=True).items():
        try:
            deliver(text)
        except HpcwatchError as error:
            complain(f"hpcwatch: {name}: {clean(str(error))}")
            code = EXIT_FAILURE
        else:
            print(f"{name}: accepted the message")
    return code


def _where(ways: Ways) -> list[str]:
    """Say where messages go, without what is a secret."""
    rows = []
    if ways.command:
        rows.append(f"command   {clean(' '.join(ways.command))}")
    if ways.webhook_file is not None:
        rows.append(f"webhook   the URL in {clean(ways.webhook_file)}")
    if ways.mail:
        by = f"by {ways.smtp}" if ways.smtp is not None else "by sendmail"
        rows.append(f"mail      {', '.join(ways.mail)}, {by}")
    return rows


def _what(plan: Plan) -> str:
    said = [] if plan.severity == "none" else [f"findings ({plan.severity} or worse)"]
    flags = ((plan.is_start, "starts"), (plan.is_kill, "kills"), (plan.is_end, "ends"))
    return "about     " + (
        ", ".join([*said, *(word for is_on, word in flags if is_on)]) or "nothing"
    )
