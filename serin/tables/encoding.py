"""In which encoding a text file is written: by its byte order mark, else by its bytes."""

import codecs
import re
from dataclasses import dataclass

from serin.errors import DataError

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig", ""),
    (codecs.BOM_UTF32_LE, "utf-32", "UTF-32"),
    (codecs.BOM_UTF32_BE, "utf-32", "UTF-32"),
    (codecs.BOM_UTF16_LE, "utf-16", "UTF-16"),
    (codecs.BOM_UTF16_BE, "utf-16", "UTF-16"),
)
_SAMPLE = 4096  # bytes
_HIGH = re.compile(rb"[\x80-\xff]+")
_LONG_RUN = 3  # letters beyond ASCII in a row: rare in western languages, the rule in all others
_UNDEFINED = re.compile(rb"[\x81\x8d\x8f\x90\x9d]")
# What western texts hold beyond ASCII, in Windows-1252: letters, quotes, dashes, a few signs.
_USUAL = re.compile(
    rb"[\xc0-\xff\x80\x85\x8a\x8c\x8e\x91-\x97\x99\x9a\x9c\x9e\x9f\xa0\xa1\xa3\xa7\xa9\xab\xae\xb0-\xb5\xb7\xba\xbb\xbf]"
)


@dataclass(frozen=True)
class Encoding:
    """A codec, what it does with bytes that it can't read, and what the user should know of it."""

    codec: str
    errors: str = "strict"
    note: str = ""


def detect(data: bytes, location: str) -> Encoding:
    """The encoding of a file's bytes; `location` names the file in messages.

    UTF-8 with a few bytes that are none decodes those to lone surrogates, so that their rows can be set aside.
    Raises DataError for bytes that are neither UTF-8, UTF-16, UTF-32 nor Windows-1252.
    """
    for mark, codec, name in _MARKS:
        if data.startswith(mark):
            return Encoding(codec, note=f"The file is {name} text." if name else "")
    if b"\0" in data[:_SAMPLE] and (guess := _utf16(data[:_SAMPLE])):
        return Encoding(guess, note="The file is taken for UTF-16 text without a byte order mark.")
    try:
        codecs.utf_8_decode(data, "strict", True)
    except UnicodeDecodeError as error:
        return _not_utf8(data, error.start, location)
    return Encoding("utf-8")


def _utf16(sample: bytes) -> str | None:
    """UTF-16 without a mark: every other byte of western text is 0."""
    even, odd = sample[0::2], sample[1::2]
    if odd.count(0) > 0.7 * len(odd) and not even.count(0):
        return "utf-16-le"
    if even.count(0) > 0.7 * len(even) and not odd.count(0):
        return "utf-16-be"
    return None


def _not_utf8(data: bytes, start: int, location: str) -> Encoding:
    text = data.decode("utf-8", errors="surrogateescape")
    strange = sum("\udc80" <= character <= "\udcff" for character in text if character > "\x7f")
    beyond_ascii = sum(character > "\x7f" for character in text)
    found = f"byte 0x{data[start]:02x} in line {_line(data, start)}"
    if beyond_ascii - strange >= strange:
        return Encoding("utf-8", "surrogateescape")
    runs = _HIGH.findall(data)
    long = sum(len(run) >= _LONG_RUN for run in runs)
    usual = len(_USUAL.findall(data))
    if _UNDEFINED.search(data) or long > 0.1 * len(runs) or usual < 0.9 * sum(map(len, runs)):
        raise DataError(f"{location} is no UTF-8, UTF-16 or Windows-1252 text: {found}; save it as UTF-8")
    return Encoding(
        "cp1252",
        note=f"The file is no UTF-8 ({found}) and read as Windows-1252; save it as UTF-8 if its texts look wrong.",
    )


def _line(data: bytes, place: int) -> int:
    before = data[:place]
    return 1 + max(before.count(b"\n"), before.count(b"\r"))
