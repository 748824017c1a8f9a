"""Notifications: what is told and when, what a message holds, what mail looks like. No network."""

from __future__ import annotations

import email
import json
import os
import smtplib
import socket
import stat
import threading
import time
from collections.abc import Iterator
from email.policy import default
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcwatch.analysis.findings import Finding, Severity, rules
from hpcwatch.base.errors import EXIT_USAGE, HpcwatchError
from hpcwatch.monitor.notify import command, mail, webhook
from hpcwatch.monitor.notify.cancel_process import Trouble, trouble_in
from hpcwatch.monitor.notify.channel import Channel
from hpcwatch.monitor.notify.digest import Digest, Spool, together
from hpcwatch.monitor.notify.message import MOST_BYTES, Message, Subject, line
from hpcwatch.monitor.notify.plan import Ways, check, plan_of
from hpcwatch.monitor.notify.told import Told

ABOUT = Subject("train", "alice", "qb002", job_id="7", scheduler="slurm")


def finding(
    rule: str = "gpu-low", severity: Severity = Severity.WARNING, host: str = "n1"
) -> Finding:
    return Finding(rule, severity, host, "job", 0.0, 60.0, "GPU 0 at 3 %", {}, "Do less.")


def message(text: str = "a word", severity: str = "warning") -> bytes:
    return line(Message("finding", text, 1.7e9, severity, ("gpu-low",)), ABOUT)


class TestTold:
    def test_a_finding_that_stands_is_told_once(self) -> None:
        told = Told("warning", 3600.0)
        assert [len(told.new([finding()], second)) for second in range(0, 90_000, 5)][:3] == [
            1,
            0,
            0,
        ]
        assert told.new([finding()], 1e6) == []

    def test_one_that_comes_and_goes_is_told_again_after_the_stated_time(self) -> None:
        told = Told("warning", 3600.0)
        count = 0
        for second in range(0, 7300, 10):
            found = [finding()] if second // 60 % 2 == 0 else []
            count += len(told.new(found, float(second)))
        assert count == 3  # at 0, 3600 and 7200

    def test_a_worse_one_is_told_at_once_and_a_milder_one_is_not(self) -> None:
        told = Told("info", 3600.0)
        order = [Severity.WARNING, Severity.CRITICAL, Severity.WARNING, Severity.CRITICAL]
        counts = [len(told.new([finding(severity=one)], at)) for at, one in enumerate(order)]
        assert counts == [1, 1, 0, 0]

    @pytest.mark.parametrize(("least", "count"), [("info", 3), ("warning", 2), ("critical", 1)])
    def test_the_least_severity(self, least: str, count: int) -> None:
        found = [finding(str(one), one) for one in Severity]
        assert len(Told(least, 1.0).new(found, 0.0)) == count
        assert Told("none", 1.0).new(found, 0.0) == []

    def test_nodes_without_end_are_forgotten(self) -> None:
        told = Told("info", 1e9)
        for number in range(5000):
            told.new([finding(host=f"n{number}")], float(number))
        assert len(told._known) <= 2000


@given(st.text(), st.text(), st.sampled_from(sorted(rules())))
def test_a_message_is_one_line_of_json_that_fits_a_pipe(text: str, name: str, rule: str) -> None:
    made = line(
        Message("end", text * 40, 1.7e9, "info", (rule,) * 50), ABOUT._replace(name=name * 20)
    )
    assert len(made) <= MOST_BYTES
    assert made.count(b"\n") == 1
    plain = json.loads(made)
    assert {"text", "kind", "severity", "job"} <= set(plain)
    assert "\x1b" not in plain["text"] + plain["name"]


HOSTILE = "job\r\nBcc: everybody@example.org\r\n\r\nbody\n.\n"


class TestMail:
    def made(self, text: str = "a\nb", name: str = "train") -> email.message.EmailMessage:
        plain = json.loads(line(Message("end", text, 1.7e9), ABOUT._replace(name=name)))
        made = mail.mail(plain, ["bob@example.org", "amy"], "hpc@example.org")
        read = email.message_from_bytes(made.as_bytes(), policy=default)
        assert isinstance(read, email.message.EmailMessage)
        return read

    def test_its_headers(self) -> None:
        read = self.made()
        assert (read["To"], read["From"]) == ("bob@example.org, amy", "hpc@example.org")
        assert read["Subject"] == "[hpcwatch] a"
        assert read.get_content().splitlines()[:3] == ["a", "b", ""]

    @pytest.mark.parametrize("hostile", [HOSTILE, "\rX: 1", "a\u2028Bcc: x@y", "a\x00b\x0bBcc: c"])
    def test_no_name_begins_a_header(self, hostile: str) -> None:
        for read in (self.made(text=hostile, name=hostile), self.made(name=hostile)):
            known = {"Subject", "To", "From", "Date", "Auto-Submitted", "Content-Type",
                     "Content-Transfer-Encoding", "MIME-Version"}  # fmt: skip
            assert set(read.keys()) <= known
            assert len(read.get_all("To", [])) == 1

    @given(st.text())
    def test_any_text_can_be_mailed(self, text: str) -> None:
        self.made(text=text, name=text)

    def test_by_sendmail(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        program = tmp_path / "sendmail"
        program.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/words\ncat > {tmp_path}/mail\n')
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        made = mail.mail(json.loads(message(HOSTILE)), ["bob"], None)
        mail.by_sendmail(made, ["bob"], 5.0)
        assert (tmp_path / "words").read_text() == "-i bob\n"
        text = (tmp_path / "mail").read_bytes()
        assert b"\r" not in text, "sendmail takes lines as this machine ends them"
        assert text.count(b"\nBcc") == 1, "in the body alone"
        assert text.index(b"\n\n") < text.index(b"\nBcc")

    def test_by_smtp(self) -> None:
        with Smtp() as server:
            made = mail.mail(json.loads(message(HOSTILE)), ["bob@x.org"], "hpc@x.org")
            mail.by_smtp(made, ["bob@x.org"], f"127.0.0.1:{server.port}", 5.0)
        assert "MAIL FROM:<hpc@x.org>" in [one.partition(" SIZE")[0] for one in server.upper()]
        assert [one for one in server.heard if one.upper().startswith("RCPT")] == [
            "RCPT TO:<bob@x.org>"
        ]

    def test_a_server_that_is_silent_ends_by_the_deadline(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            port = silent.getsockname()[1]
            made = mail.mail(json.loads(message()), ["bob"], None)
            before_s = time.monotonic()
            with pytest.raises(HpcwatchError, match="mail server 127"):
                mail.by_smtp(made, ["bob"], f"127.0.0.1:{port}", 0.3)
            assert time.monotonic() - before_s < 5.0


class Smtp:
    """A mail server that takes one mail, as RFC 5321 says it does."""

    def __enter__(self) -> Smtp:
        self.heard: list[str] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._thread.join(10.0)
        self._socket.close()

    def upper(self) -> list[str]:
        return [one.replace("mail FROM", "MAIL FROM") for one in self.heard]

    def _serve(self) -> None:
        connection, _ = self._socket.accept()
        with connection, connection.makefile("rwb") as stream:

            def say(text: str) -> None:
                stream.write(f"{text}\r\n".encode())
                stream.flush()

            say("220 here")
            is_data = False
            for raw in stream:
                heard = raw.decode().rstrip("\r\n")
                if is_data:
                    is_data = heard != "."
                    if not is_data:
                        say("250 taken")
                    continue
                self.heard.append(heard.replace("rcpt TO", "RCPT TO"))
                word = heard.upper().partition(" ")[0]
                if word == "DATA":
                    is_data = True
                    say("354 go on")
                elif word == "QUIT":
                    say("221 bye")
                    return
                else:
                    say(
                        "250 here"
                        if word in ("EHLO", "HELO", "MAIL", "RCPT", "RSET")
                        else "500 what"
                    )


class TestPlan:
    def test_nothing_is_the_default(self) -> None:
        assert plan_of([], {}) is None
        assert plan_of(["off"], {"mail": "bob"}) is None
        assert plan_of([], {"severity": "critical"}) is None

    def test_the_command_line_replaces_the_configured_ways(self) -> None:
        plan = plan_of(
            ["mail:amy,bob@x.org"], {"command": "a b", "severity": "info", "start": True}
        )
        assert plan is not None
        assert plan.ways == Ways(mail=("amy", "bob@x.org"))
        assert (plan.severity, plan.is_start, plan.is_end) == ("info", True, True)

    def test_a_command_is_split_without_a_shell(self) -> None:
        plan = plan_of([], {"command": "tell 'a b' $(rm) ; x"})
        assert plan is not None
        assert plan.ways.command == ("tell", "a b", "$(rm)", ";", "x")

    @pytest.mark.parametrize(
        "given",
        ["https://hooks.example.org/T0/B0", "webhook:https://x/secret", "mail:", "mail:-f",
         "mail:a b", "mail:a@b\nc", "command:", "command:'",
         "command:/no/such", "pigeon:x", "", "webhook:/none"],
    )  # fmt: skip
    def test_a_mistake_is_one_line_without_the_secret(self, given: str) -> None:
        with pytest.raises(HpcwatchError) as caught:
            check(given)
        assert caught.value.exit_code == EXIT_USAGE
        assert "\n" not in str(caught.value)
        assert "secret" not in str(caught.value).replace("is a secret", "")
        assert "T0/B0" not in str(caught.value)

    def test_a_file_that_others_may_read_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "hook"
        path.write_text("https://hooks.example.org/T0/B0\n")
        path.chmod(0o640)
        with pytest.raises(HpcwatchError, match="chmod 600"):
            check(f"webhook:{path}")
        path.chmod(0o600)
        assert check(f"webhook:{path}") == f"webhook:{path}"
        path.write_text("hooks.example.org/T0/B0\n")
        with pytest.raises(HpcwatchError) as caught:
            webhook.address_in(str(path))
        assert "T0" not in str(caught.value)


class TestCommand:
    def test_it_gets_the_message_and_the_user_s_environment(self, tmp_path: Path) -> None:
        path = tmp_path / "got"
        command.run(["sh", "-c", f"cat > {path}; env >> {path}"], b"{}\n", 10.0)
        head, *rest = path.read_text().splitlines()
        assert head == "{}"
        names = {row.partition("=")[0] for row in rest}
        assert names - set(os.environ) <= {"PWD", "_", "SHLVL", "OLDPWD", "LINES", "COLUMNS"}

    def test_it_is_killed_with_its_children_at_the_deadline(self, tmp_path: Path) -> None:
        path = tmp_path / "pid"
        argv = ["sh", "-c", f"sleep 60 & echo $! > {path}; wait"]
        before_s = time.monotonic()
        with pytest.raises(HpcwatchError, match="did not end within"):
            command.run(argv, b"x", 0.5)
        assert time.monotonic() - before_s < 5.0
        status = Path(f"/proc/{path.read_text().strip()}/stat")
        while status.exists() and status.read_text().split()[2] != "Z":
            assert time.monotonic() - before_s < 10.0

    def test_a_failure_is_told(self) -> None:
        with pytest.raises(HpcwatchError, match="sh failed: exit code 3"):
            command.run(["sh", "-c", "exit 3"], b"x", 5.0)
        with pytest.raises(HpcwatchError, match="cannot run no-such"):
            command.run(["/no-such"], b"x", 5.0)


class TestDigest:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Iterator[str]:
        yield str(tmp_path / "notify" / "slurm-7")

    def task(
        self, folder: str, sent: list[bytes], is_last: bool = False, every_s: float = 900.0
    ) -> Digest:
        made = Digest(Spool(folder, every_s, is_last), sent.append)
        made._name = f"host-{len(os.listdir(f'{folder}/alive'))}-{id(made)}"
        made.look()
        return made

    def test_many_tasks_send_one_message_an_interval(self, folder: str) -> None:
        sent: list[bytes] = []
        tasks = [self.task(folder, sent) for _ in range(20)]
        for number, task in enumerate(tasks):
            task.take(message(f"task {number}"))
        assert len(sent) == 1, "the first at once"
        long_ago_s = time.time() - 901
        os.utime(f"{folder}/sent", (long_ago_s, long_ago_s))
        tasks[3].look()
        assert len(sent) == 2
        plain = json.loads(sent[1])
        assert (plain["kind"], plain["count"]) == ("digest", 19)
        assert "task 1" in plain["text"] and "and 11 more" in plain["text"]
        assert os.listdir(f"{folder}/waiting") == []

    def test_the_last_task_sends_what_is_left(self, folder: str) -> None:
        sent: list[bytes] = []
        first, last = self.task(folder, sent), self.task(folder, sent, is_last=True)
        for one in (first, last):
            one.take(message())
            one.take(message())
        last.end()
        assert len(sent) == 1, "another task runs"
        for name in os.listdir(f"{folder}/alive"):
            if name != first._name:
                os.remove(f"{folder}/alive/{name}")
        first.end()
        assert len(sent) == 2

    def test_one_at_a_time_does_not_send_each(self, folder: str) -> None:
        sent: list[bytes] = []
        for _ in range(5):
            task = self.task(folder, sent)
            task.take(message())
            task.end()
            for name in os.listdir(f"{folder}/alive"):
                os.remove(f"{folder}/alive/{name}")
        assert len(sent) == 1

    def test_without_a_folder_each_message_is_sent(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        sent: list[bytes] = []
        Digest(Spool(f"{tmp_path}/file/x", 900.0, False), sent.append).take(message())
        assert len(sent) == 1

    def test_it_is_private_and_holds_no_more_than_it_was_given(self, folder: str) -> None:
        sent: list[bytes] = []
        task = self.task(folder, sent)
        task.take(message())
        task.take(message("second"))
        assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700

    def test_a_message_that_cannot_be_read_loses_no_other(self, folder: str) -> None:
        sent: list[bytes] = []
        task = self.task(folder, sent)
        os.makedirs(f"{folder}/waiting/0-a-folder")
        task.take(message("one"))
        assert len(sent) == 1
        assert json.loads(sent[0])["text"] == "one"

    def test_odd_files_are_left_out(self) -> None:
        plain = json.loads(together([b"", b"[]", b"{}", message("real", "critical"), b"\xff"]))
        assert plain["severity"] == "critical"
        assert "real" in plain["text"]


class TestChannel:
    def test_a_process_that_reads_nothing_delays_nobody(self) -> None:
        ends: list[int] = []

        def start(argv: object) -> tuple[int, int]:
            source, to_process = os.pipe()
            from_process, target = os.pipe()
            ends.extend((source, target))
            return to_process, from_process

        channel = Channel(Ways(mail=("bob",)), None, start)
        before_s = time.monotonic()
        for _ in range(1000):
            channel.send(Message("finding", "x" * 1000, 0.0), ABOUT)
        assert time.monotonic() - before_s < 2.0
        said = channel.close(0.1)
        assert time.monotonic() - before_s < 4.0
        unknown, lost = said
        assert "unknown" in unknown
        assert lost.endswith("messages were left out")
        for end in ends:
            os.close(end)

    def test_smtplib_s_errors_are_os_errors(self) -> None:
        assert issubclass(smtplib.SMTPException, OSError)


class TestCancelProcess:
    """What the process that cancels says, and what its silence means."""

    def test_no_answer_is_no_certain_failure(self) -> None:
        assert trouble_in(b"") == Trouble("no answer", is_sure=False)
        assert trouble_in(b'{"wor') == Trouble("no answer", is_sure=False)

    @pytest.mark.parametrize("trouble", [Trouble(""), Trouble("not yours"), Trouble("slow", False)])
    def test_an_answer_comes_back_as_it_was(self, trouble: Trouble) -> None:
        assert trouble_in(json.dumps(trouble._asdict()).encode()) == trouble
