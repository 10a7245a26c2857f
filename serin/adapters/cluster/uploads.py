"""Tables of this machine, brought to where a pipeline's steps can read them."""

from pathlib import Path, PurePosixPath

from pyarrow import fs

from serin import storage
from serin.errors import UnavailableError
from serin.progress import Listener, Progress
from serin.tables import digest

_CHUNK = 8 << 20  # bytes
_TOLD_EVERY = 0.25  # of the whole


def uploaded(data: str, folder: str, listener: Listener) -> str:
    """The table at `data` (a file or a folder) as it lies below `folder` (an s3:// URI), under a name of its content.

    What is there already is not sent again; a URI is its own answer. Raises UnavailableError and DataError as
    `serin.tables.digest` does, and UnavailableError where it can't be written.
    """
    if not data or "://" in data:
        return data
    source = Path(data).resolve()
    target = f"{folder}/{digest(str(source))[:16]}/{source.name}"
    files = [source] if source.is_file() else sorted(path for path in source.rglob("*") if path.is_file())
    missing = [path for path in files if not _there(path, _place(path, source, target))]
    if missing:
        _send(missing, source, target, listener)
        listener(Progress("", "said", f"{source.name} is at {target} now"))
    return target


def _place(path: Path, source: Path, target: str) -> str:
    return target if path == source else f"{target}/{PurePosixPath(path.relative_to(source))}"


def _there(path: Path, place: str) -> bool:
    system, where = storage.filesystem(place)
    with storage.named(place, "looked at"):
        info = system.get_file_info(where)
    return bool(info.type == fs.FileType.File and info.size == path.stat().st_size)


def _send(files: list[Path], source: Path, target: str, listener: Listener) -> None:
    total = sum(path.stat().st_size for path in files) or 1
    sent, told = 0, 0.0
    for path in files:
        place = _place(path, source, target)
        system, where = storage.filesystem(place)
        # On S3 an object is there whole, once its stream is closed, or not at all.
        with storage.named(place, "written"), path.open("rb") as read, system.open_output_stream(where) as write:
            while chunk := read.read(_CHUNK):
                write.write(chunk)
                sent += len(chunk)
                if sent / total - told >= _TOLD_EVERY and sent < total:
                    told = sent / total
                    listener(Progress("", "said", f"{source.name}: {told:.0%} of {total / 1e6:,.0f} MB sent"))


def reachable(storage_root: str) -> str:
    """The storage, where pods can read it. Raises UnavailableError for a folder of this machine."""
    if "://" not in storage_root:
        raise UnavailableError(
            f"SERIN_STORAGE is {storage_root}, a folder of this machine, which no pod can read; allowed: an s3:// URI "
            "(with SERIN_PROFILE=cluster)"
        )
    return storage_root
