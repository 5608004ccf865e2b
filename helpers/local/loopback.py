"""Keep Triton's SageMaker port on the loopback address.

Triton 24.10 has ``--http-address`` but no such option for its SageMaker front end, which listens
on every interface, and whoever reaches that port can have a model loaded, which is code. It turns
its address text into a number with the C function ``inet_addr``. So we put a function of that
name in front of it (``LD_PRELOAD``) that knows one address, 127.0.0.1: four fields and a return.
The library is so small that we write it here byte by byte and no learner needs a compiler.

``listening_addresses`` is the check that it worked; a server that listens elsewhere is stopped.
"""

from __future__ import annotations

import platform
import struct
from pathlib import Path

from helpers.errors import ServiceError

# in_addr_t inet_addr(const char *) { return 127.0.0.1 in network order; }
_CODE = {
    # mov eax, 0x0100007f; ret
    "x86_64": (62, bytes.fromhex("b87f000001 c3")),
    # movz w0, 0x007f; movk w0, 0x0100, lsl 16; ret
    "aarch64": (183, struct.pack("<3I", 0x52800FE0, 0x72A02000, 0xD65F03C0)),
}
_HEADER, _SEGMENT, _SYMBOL = 64, 56, 24
_HIGH = 0x10000  # the writable segment lives one (large) page above the code


def write_preload(path: Path, machine: str | None = None) -> Path:
    """Write the shared library for this machine. Raises ``ServiceError`` for an unknown one."""
    machine = machine or platform.machine()
    if machine not in _CODE:
        raise ServiceError(
            "Triton's port cannot be kept on the loopback address here",
            f"there is no recipe for {machine}",
            "The stand-in serves instead",
        )
    path.write_bytes(_shared_library(*_CODE[machine]))
    return path


def _shared_library(architecture: int, code: bytes) -> bytes:
    """An ELF shared object that exports ``inet_addr``: headers, one symbol, the code."""
    names = b"\0inet_addr\0"
    hash_table = struct.pack("<5I", 1, 2, 1, 0, 0)  # one bucket, which holds symbol 1
    at = _HEADER + 4 * _SEGMENT
    at_hash, at_symbols = at, _aligned(at + len(hash_table))
    at_names = at_symbols + 2 * _SYMBOL
    at_code = _aligned(at_names + len(names))
    at_dynamic = _aligned(at_code + len(code))
    symbols = bytes(_SYMBOL) + struct.pack("<IBBHQQ", 1, 0x12, 0, 1, at_code, len(code))
    dynamic = struct.pack(
        "<12Q", 4, at_hash, 5, at_names, 6, at_symbols, 10, len(names), 11, _SYMBOL, 0, 0
    )
    end = at_dynamic + len(dynamic)
    header = struct.pack(
        "<16sHHIQQQIHHHHHH",
        b"\x7fELF\x02\x01\x01", 3, architecture, 1, 0, _HEADER, 0, 0,
        _HEADER, _SEGMENT, 4, 64, 0, 0,
    )  # fmt: skip
    segments = (
        _segment(1, 5, 0, 0, at_dynamic, _HIGH)  # headers, symbols and code: read, execute
        + _segment(1, 6, at_dynamic, _HIGH + at_dynamic, len(dynamic), _HIGH)  # read, write
        + _segment(2, 6, at_dynamic, _HIGH + at_dynamic, len(dynamic), 8)  # where the linker looks
        + _segment(0x6474E551, 6, 0, 0, 0, 16)  # no executable stack
    )
    image = bytearray(end)
    for place, part in (
        (0, header), (_HEADER, segments), (at_hash, hash_table), (at_symbols, symbols),
        (at_names, names), (at_code, code), (at_dynamic, dynamic),
    ):  # fmt: skip
        image[place : place + len(part)] = part
    return bytes(image)


def _segment(kind: int, flags: int, offset: int, address: int, size: int, align: int) -> bytes:
    return struct.pack("<IIQQQQQQ", kind, flags, offset, address, address, size, size, align)


def _aligned(place: int) -> int:
    return (place + 15) // 16 * 16


def listening_addresses(pid: int) -> set[str]:
    """``address:port`` of every TCP socket on which the process listens (Linux)."""
    sockets = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            sockets.add(descriptor.readlink().name)
        except OSError:
            continue  # closed meanwhile
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in sockets:
                address, port = fields[1].split(":")
                found.add(f"{_dotted(address)}:{int(port, 16)}")
    return found


def _dotted(address: str) -> str:
    if len(address) > 8:
        return f"[{address}]"
    return ".".join(str(byte) for byte in reversed(bytes.fromhex(address)))
