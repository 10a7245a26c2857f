"""The id of a request as headers have it."""

from urllib.parse import quote


def in_header(request_id: str) -> str:
    """The id as it is, or percent-encoded where a header can't hold it."""
    # Blanks at its ends would be lost on the way.
    whole = request_id == request_id.strip()
    plain = request_id.isascii() and request_id.isprintable() and whole
    return request_id if plain else quote(request_id, safe=" " if whole else "")
