"""Names that are nearly another: what somebody probably meant."""

from collections.abc import Iterable
from difflib import get_close_matches

_ALIKE = 0.8  # difflib's ratio: "amount" is as much like "TX_AMOUNT" (letter case apart), "TX_FRAUD" is less


def asked(name: str, others: Iterable[str], what: str = "") -> str:
    """The name, with the question whether it is the one of `others` that is nearest, where one is near.

    `what` goes before that one.
    """
    folded = {other.casefold(): other for other in others}
    found = get_close_matches(name.casefold(), folded, 1, _ALIKE)
    return f"{name} (is it {what}{folded[found[0]]}?)" if found else name
