"""The job's output files where only its first node has them: read through that node's link."""

from __future__ import annotations

from hpcwatch.monitor.job_output import LogText
from hpcwatch.monitor.log_lines import GrowingText
from hpcwatch.probe.schema import LogPiece, Sample


class NodeLogs:
    """What the node has sent of the files that it is asked for."""

    def __init__(self) -> None:
        self.host: str | None = None
        """The node that has them, as a rule: the first of the job's."""
        self.wanted: dict[str, str] = {}
        """``output`` or ``error`` -> its path, of the files that the node is asked for."""
        self._grown: dict[str, GrowingText] = {}
        self._texts: dict[str, LogText] = {}

    def ask(self, wanted: dict[str, str]) -> None:
        """Ask for these files from now on. What was read stays."""
        self.wanted = wanted

    def take(self, sample: Sample) -> Sample:
        """Keep what a sample has of the files; return the sample without it."""
        if sample.logs is None:
            return sample
        for piece in sample.logs if sample.host == self.host else ():
            if piece.name in self.wanted:
                self._add(piece, sample.host)
        return sample._replace(logs=None)

    def _add(self, piece: LogPiece, host: str) -> None:
        if piece.is_new:
            self._grown[piece.name] = GrowingText()
        grown = self._grown.setdefault(piece.name, GrowingText())
        if piece.is_cut:
            grown.skip()
        grown.add(piece.text)
        where = f"{piece.path} on {host}"
        self._texts[piece.name] = LogText(
            piece.name, "", grown.lines, grown.first_number, piece.trouble or "", where
        )

    def with_node(self, text: LogText) -> LogText:
        """Return a file's text as the node has it, if it could not be read here."""
        if not text.trouble or text.lines:
            return text
        known = self._texts.get(text.name)
        if known is not None and (known.lines or not known.trouble):
            return known._replace(path=text.path)
        if text.name not in self.wanted or self.host is None:
            return text
        why = known.trouble if known is not None else "not read yet"
        return text._replace(trouble=f"{text.trouble}; on {self.host}: {why}")
