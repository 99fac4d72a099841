"""A file that another process has opened."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class GivenFile(io.RawIOBase):
    """Owns its descriptor, and reads from a place of its own: the one that the kernel keeps is
    shared with whoever gave the descriptor."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._place = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        count = os.preadv(self._descriptor, [buffer], self._place)
        self._place += count
        return count

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        match whence:
            case os.SEEK_CUR:
                offset += self._place
            case os.SEEK_END:
                offset += os.fstat(self._descriptor).st_size
        if offset < 0:
            raise ValueError("a place before the file's beginning")
        self._place = offset
        return offset

    def tell(self) -> int:
        return self._place

    def close(self) -> None:
        if not self.closed:
            os.close(self._descriptor)
        super().close()
