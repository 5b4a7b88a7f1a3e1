"""FileSync: the daemon asks for a directory, we list it and send what it misses.

A ContextFS and one call of the daemon in, packets out; called by session.py
for each transfer (Dockerfile, .dockerignore, context, named contexts). The
daemon compares the listing with its snapshot of the same directory and
requests the files that differ, so bytes sent follow the change.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote_plus

from runners.clients.buildkit._pb import fsutil_pb2
from runners.clients.buildkit.contextfs import MODE_TYPE, ContextFS, Entry, FileUnreadable
from runners.clients.buildkit.h2stream import ServerStream
from runners.clients.buildkit.patterns import BadPattern
from runners.clients.buildkit.rpc import NOT_FOUND, CallAborted, RpcFailure, frame
from runners.clients.buildkit.walk import filtered

# Old daemons refuse messages over 4 MiB.
_CHUNK = 1 << 20
_BATCH = 1 << 18

_REQ = fsutil_pb2.Packet.PACKET_REQ
_FIN = fsutil_pb2.Packet.PACKET_FIN
_ERR = fsutil_pb2.Packet.PACKET_ERR
_END_OF_LIST = frame(b"")
_FIN_FRAME = frame(fsutil_pb2.Packet(type=_FIN).SerializeToString())


@dataclass(slots=True)
class TransferCount:
    """What one session sent: a figure for tests and benchmarks."""

    listed: int = 0
    files: int = 0
    content_bytes: int = 0


class FileSync:
    """Serves ``FileSync/DiffCopy`` for the directories of one build.

    Args:
        directories: Name the daemon uses → tree.
    """

    def __init__(self, directories: Mapping[str, ContextFS]) -> None:
        self._directories = directories
        self.count = TransferCount()

    def diff_copy(self, stream: ServerStream) -> None:
        """Serve one transfer; see ``h2server.Handler``."""
        name = (_values(stream, "dir-name") or [""])[0]
        fs = self._directories.get(name)
        if fs is None:
            raise RpcFailure(NOT_FOUND, f"no local directory named {name!r} in this build")
        _Transfer(stream, fs, self.count).run()


def _values(stream: ServerStream, key: str) -> list[str]:
    values = stream.values(key)
    if stream.values(f"{key}-encoded") == ["1"]:
        return [unquote_plus(value, errors="surrogateescape") for value in values]
    return values


class _Transfer:
    """One stream. One thread walks, answers and sends, so nothing needs a lock.

    The session's reading thread collects requests meanwhile; they are looked
    at between batches, so that neither side ever waits for the other.
    """

    def __init__(self, stream: ServerStream, fs: ContextFS, count: TransferCount) -> None:
        self._stream = stream
        self._fs = fs
        self._count = count
        self._files: list[Entry | None] = []
        self._first: dict[tuple[int, int], bytes] = {}
        self._batch: list[bytes] = []
        self._batched = 0
        self._finished = False

    def run(self) -> None:
        try:
            self._list()
            self._serve_requests()
        except (FileUnreadable, BadPattern) as error:
            # Ending the call would only say "EOF"; this packet becomes the build's error.
            packet = fsutil_pb2.Packet(type=_ERR, data=str(error).encode("utf-8", "replace"))
            self._put(frame(packet.SerializeToString()))
            self._flush()
            self._drain()

    def _list(self) -> None:
        entries = filtered(
            self._fs,
            include=_values(self._stream, "include-patterns"),
            exclude=_values(self._stream, "exclude-patterns"),
            follow=_values(self._stream, "followpaths"),
        )
        for entry in entries:
            self._put(frame(self._stat_packet(entry)))
            if self._batched >= _BATCH:
                self._flush()
                for message in self._stream.poll():
                    self._handle(message)
        self._count.listed += len(self._files)
        self._put(_END_OF_LIST)
        self._flush()

    def _stat_packet(self, entry: Entry) -> bytes:
        linkname = entry.linkname
        if entry.identity is not None:
            first = self._first.setdefault(entry.identity, entry.path)
            if first is not entry.path:
                linkname = first
        requestable = not entry.mode & MODE_TYPE and not linkname
        self._files.append(entry if requestable else None)
        stat = fsutil_pb2.Stat(
            path=entry.path,
            mode=entry.mode,
            # A hard link carries its real size too; with 0 the snapshot decays.
            size=entry.size,
            modTime=entry.mtime_ns,
            linkname=linkname,
        )
        if entry.device != (0, 0):
            stat.devmajor, stat.devminor = entry.device
        if entry.xattrs:
            for key, value in entry.xattrs.items():
                stat.xattrs[key] = value
        return fsutil_pb2.Packet(stat=stat).SerializeToString()

    def _serve_requests(self) -> None:
        while not self._finished:
            messages = self._stream.receive()
            if messages is None:
                raise CallAborted("the daemon ended the transfer without a word")
            for message in messages:
                self._handle(message)
            self._flush()
        self._put(_FIN_FRAME)
        self._flush()

    def _handle(self, message: bytes) -> None:
        packet = fsutil_pb2.Packet.FromString(message)
        if packet.type == _REQ:
            self._send_file(packet.ID)
        elif packet.type == _FIN:
            self._finished = True
        elif packet.type == _ERR:
            raise CallAborted(packet.data.decode(errors="replace"))

    def _send_file(self, number: int) -> None:
        entry = self._files[number] if number < len(self._files) else None
        if entry is None:
            raise FileUnreadable(f"the daemon asked for entry {number}, which has no content")
        head = b"\x08\x02" + (b"\x18" + varint(number) if number else b"")
        sent = 0
        if entry.readable:
            for data in self._fs.read(entry.path, _CHUNK):
                sent += len(data)
                if sent > entry.size:
                    break
                self._put_data(head, data)
        # The daemon would store a short file without a word.
        if sent != entry.size and entry.readable:
            raise FileUnreadable(
                f"{os.fsdecode(entry.path)} changed while it was sent: "
                f"announced {entry.size} bytes, found {'more' if sent > entry.size else sent}"
            )
        self._put(frame(head))
        self._count.files += 1
        self._count.content_bytes += sent

    def _put_data(self, head: bytes, data: bytes) -> None:
        head += b"\x22" + varint(len(data))
        self._put(b"\x00" + (len(head) + len(data)).to_bytes(4, "big") + head)
        self._put(data)
        if self._batched >= _BATCH:
            self._flush()

    def _put(self, data: bytes) -> None:
        self._batch.append(data)
        self._batched += len(data)

    def _flush(self) -> None:
        if self._batch:
            self._stream.send(b"".join(self._batch))
            self._batch.clear()
            self._batched = 0

    def _drain(self) -> None:
        """Wait until the daemon has read our error and hangs up."""
        try:
            while self._stream.receive() is not None:
                pass
        except CallAborted:
            return


def varint(number: int) -> bytes:
    """Return protobuf's encoding of a number that is not negative."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
