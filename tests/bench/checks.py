"""How a benchmark tells whether a promise is kept."""


def accept(what: str, holds: bool) -> None:
    """Print one promise; a miss ends nothing."""
    print(f"  {'holds' if holds else 'MISSED'}: {what}", flush=True)
