"""Files and folders that are either there in full or not at all."""

import ctypes
import errno
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from serin.errors import UnavailableError

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
# What a disk or a folder refuses; any other OSError in a block is the caller's own.
_REFUSALS = {
    errno.EACCES,
    errno.EDQUOT,
    errno.EEXIST,  # a file where a folder should be
    errno.EFBIG,
    errno.EIO,
    errno.ENOSPC,
    errno.ENOTDIR,
    errno.EPERM,
    errno.EROFS,
}


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """A path to write to; it takes the place of `path` when the block ends without an error.

    The temporary file (or folder) lies beside the target, so the last step is one rename; a file is flushed to the
    disk before it. A folder that is already there changes places with the new one, and is removed after.
    Raises UnavailableError where the disk is full or the folder can't be written: `path` is as it was then.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _mend(path)
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
        try:
            yield temporary
            _put(temporary, path)
        finally:
            _remove(temporary)
    except OSError as error:
        if error.errno not in _REFUSALS:
            raise
        cause = os.strerror(error.errno)
        raise UnavailableError(f"{path} can't be written: {cause}; nothing was half-written") from None


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` through `replaced`, and raise what it raises."""
    with replaced(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _put(temporary: Path, path: Path) -> None:
    if not temporary.is_dir():
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    elif not path.exists():
        temporary.rename(path)
    elif not _exchanged(temporary, path):
        # Killed between the two renames, the next `replaced` of this path moves the old folder back.
        old = path.with_name(f".{path.name}.{uuid.uuid4().hex}.old")
        path.rename(old)
        temporary.rename(path)
        _remove(old)


def _exchanged(one: Path, other: Path) -> bool:
    """Let two paths change places in one step; False where the system or the file system can't (Linux can)."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError):
        return False
    paths = os.fsencode(one), os.fsencode(other)
    if rename(_AT_FDCWD, paths[0], _AT_FDCWD, paths[1], _RENAME_EXCHANGE) == 0:
        return True
    if (code := ctypes.get_errno()) in (errno.ENOSYS, errno.EINVAL):
        return False
    raise OSError(code, os.strerror(code), str(other))


def _mend(path: Path) -> None:
    """Move back a folder that was moved aside by a process that ended before it could put the new one in place."""
    if path.exists():
        return
    for old in path.parent.glob(f".{path.name}.*.old"):
        old.rename(path)
        return


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
