"""The id of a request: a new one, and as headers have it."""

import os
from collections.abc import Callable
from urllib.parse import quote


def in_header(request_id: str) -> str:
    """The id as it is, or percent-encoded where a header can't hold it."""
    # Blanks at its ends would be lost on the way.
    whole = request_id == request_id.strip()
    plain = request_id.isascii() and request_id.isprintable() and whole
    return request_id if plain else quote(request_id, safe=" " if whole else "")


def maker() -> Callable[[], str]:
    """What makes ids of 128 random bits in hexadecimal; the system is asked for many at once."""
    pool: list[str] = []

    def new() -> str:
        if not pool:
            text = os.urandom(16 * 256).hex()
            pool.extend([text[place : place + 32] for place in range(0, len(text), 32)])
        return pool.pop()

    return new
