"""`serin simulate`."""

from datetime import date
from pathlib import Path

from pipelines.console import Console
from serin.atomic import replaced
from serin.errors import SerinError


def run(console: Console, out: Path, rows: int, days: int, start: date, drift_at: date | None, seed: int) -> None:
    """Write simulated transactions to `out`."""
    from serin.simulate import simulate

    if out.suffix not in (".parquet", ".csv"):
        raise SerinError(f"--out {out}: can't write {out.suffix or 'a file without suffix'}; allowed: .parquet, .csv")
    with console.working("simulate"):
        frame = simulate(seed=seed, start=start, days=days, rows=rows, drift_at=drift_at)
        with replaced(out) as temporary:
            if out.suffix == ".csv":
                frame.to_csv(temporary, index=False)
            else:
                frame.to_parquet(temporary, index=False)
    console.good(f"{out}: {len(frame):,} transactions from {start}, {frame['TX_FRAUD'].mean():.2%} fraud")
    console.next(f"serin train card_fraud --data {out}")
    console.result({"file": str(out), "rows": len(frame), "fraud": int(frame["TX_FRAUD"].sum())})
