"""The node's InfiniBand, Omni-Path or RoCE ports: bytes moved and errors, as counters since boot.

Source: Documentation/ABI/stable/sysfs-class-infiniband of the Linux kernel. Data counters are in
four-byte words. A Slingshot adapter is included if its driver offers such a port.
"""

import os

from .procfs import KeptFile
from .typed import Dict, List, NamedTuple, Optional, Tuple

_FOLDER = "/sys/class/infiniband"
_SENT, _RECEIVED = "counters/port_xmit_data", "counters/port_rcv_data"
_ERRORS = (
    "counters/symbol_error",
    "counters/link_error_recovery",
    "counters/link_downed",
    "counters/port_rcv_errors",
    "counters/port_xmit_discards",
    "counters/local_link_integrity_errors",
    "counters/excessive_buffer_overrun_errors",
    "hw_counters/local_ack_timeout_err",
    "hw_counters/packet_seq_err",
)
_WORD_BYTES = 4
_MOST_PORTS = 16


class Traffic(NamedTuple):
    """Sums over all ports."""

    sent_bytes: Optional[int] = None
    received_bytes: Optional[int] = None
    error_count: Optional[int] = None


class FabricReader:
    """Keeps the files of counters open: a few calls per sample, none on a node without ports."""

    def __init__(self, folder: str = _FOLDER) -> None:
        self._ports = [_open(path) for path in _port_folders(folder)]

    def read(self) -> Traffic:
        """Return the sums. A counter that no port has is None. Raises OSError."""
        if not self._ports:
            return Traffic()
        sent, received = self._sum((_SENT,)), self._sum((_RECEIVED,))
        return Traffic(
            sent_bytes=None if sent is None else sent * _WORD_BYTES,
            received_bytes=None if received is None else received * _WORD_BYTES,
            error_count=self._sum(_ERRORS),
        )

    def _sum(self, names: Tuple[str, ...]) -> Optional[int]:
        known = [
            int(raw)
            for port in self._ports
            for name in names
            if name in port
            for raw in [port[name].read().strip()]
            if raw.isdigit()
        ]
        return sum(known) if known else None


def _port_folders(folder: str) -> List[str]:
    found = []
    for device in _names(folder):
        ports = os.path.join(folder, device, "ports")
        found += [os.path.join(ports, port) for port in _names(ports)]
    return found[:_MOST_PORTS]


def _names(folder: str) -> List[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def _open(port: str) -> Dict[str, KeptFile]:
    files = {}
    for name in (_SENT, _RECEIVED, *_ERRORS):
        try:
            files[name] = KeptFile(os.path.join(port, name), 64)
        except OSError:  # each adapter has its own set of counters
            continue
    return files
