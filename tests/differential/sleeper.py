"""The smallest program that a container can run: x86-64 Linux, written out byte by byte."""

from __future__ import annotations

import struct

_AT = 0x400000
_HEADERS = 64 + 56

_CODE = bytes.fromhex(
    "48833c2401"  # cmp qword [rsp], 1    argc
    "7709"  # ja end
    "b822000000"  # sleep: mov eax, 34    pause
    "0f05"  # syscall
    "ebf7"  # jmp sleep
    "b83c000000"  # end: mov eax, 60      exit
    "31ff"  # xor edi, edi
    "0f05"  # syscall
)


def _program() -> bytes:
    size = _HEADERS + len(_CODE)
    identity = b"\x7fELF\x02\x01\x01" + bytes(9)
    head = struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, _AT + _HEADERS, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, _AT, _AT, size, size, 0x1000)
    return identity + head + segment + _CODE


SLEEPER = _program()
"""Sleeps until it is killed; with any argument it ends at once, with status 0."""
