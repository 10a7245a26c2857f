"""What answering takes, and which requests are taken on. Pure: it is told what things took."""

from dataclasses import dataclass
from math import ceil, inf

from serin.errors import OverloadedError

# Whoever would wait longer is told to come back: a queue that grows helps nobody.
PATIENCE_SECONDS = 0.5
LEAST, MOST = 16, 1024  # requests in flight that the measurement may come to
# Batches that take less are answered on the event loop: a thread would cost about as much again.
QUICK_SECONDS = 0.001
MERGED_ROWS = 512  # of several requests in one batch; a single request may have more
_WEIGHT = 0.05  # of the latest batch in the moving average
_LEAST_SECONDS = 1e-9
_LEAST_RATIO, _MOST_RATIO = 0.25, 4.0  # of one batch to what was expected: a pause of the machine is no measurement


@dataclass
class Cost:
    """What a batch takes: `base` seconds and `row` seconds for each row, as measured at the start, times `scale`, which
    follows what batches take since.

    Without a measurement a model counts as slow until its batches say otherwise.
    """

    base: float = 0.002
    row: float = 0.0002
    scale: float = 1.0
    quick_rows: int = 0  # rows that take less than QUICK_SECONDS
    most_rows: float = inf  # rows that take PATIENCE_SECONDS
    is_measured: bool = False

    def __post_init__(self) -> None:
        self._limit()

    def measure(self, rows: int, one: float, many: float) -> None:
        """Take the seconds that one row took, and those that `rows` did."""
        self.row = max((many - one) / (rows - 1), _LEAST_SECONDS) if rows > 1 else one
        self.base = max(one - self.row, _LEAST_SECONDS)
        self.is_measured, self.quick_rows = True, self._quick(1.0)
        self._limit()

    def seconds(self, rows: int) -> float:
        """How long `rows` rows are expected to take."""
        return self.scale * (self.base + self.row * rows)

    def took(self, rows: int, seconds: float) -> None:
        """A batch of `rows` rows took `seconds`."""
        ratio = seconds / (self.base + self.row * rows)
        within = min(max(ratio, self.scale * _LEAST_RATIO), self.scale * _MOST_RATIO)
        self.scale += _WEIGHT * (within - self.scale)
        self._limit()
        if not self.is_measured:
            self.quick_rows = self._quick(self.scale)

    @property
    def merged_rows(self) -> int:
        """How many rows of several requests are worth one batch: as many as are quick, unless a batch costs so much by
        itself that it had better be a large one."""
        return self.quick_rows if self.quick_rows and self.base <= QUICK_SECONDS / 2 else MERGED_ROWS

    @property
    def concurrency(self) -> int:
        """How many requests of one row are answered within PATIENCE_SECONDS, between LEAST and MOST."""
        return min(MOST, max(LEAST, int((PATIENCE_SECONDS - self.base) / self.row)))

    def _limit(self) -> None:
        self.most_rows = (PATIENCE_SECONDS / self.scale - self.base) / self.row

    def _quick(self, scale: float) -> int:
        # Where it was measured, what the machine does besides is no reason to begin with threads: they add to it.
        return max(0, int((QUICK_SECONDS - scale * self.base) / (scale * self.row)))


class Admission:
    """Which requests are taken on: those that can be answered in time.

    `most` is how many may be in flight; `rows` are those that wait for their scores. A request is always taken on where
    no other waits.
    """

    def __init__(self, cost: Cost, most: int) -> None:
        self.cost, self.most = cost, most
        self.in_flight = 0
        self.rows = 0

    def enter(self) -> None:
        """Take a request on; `leave` follows. Raises OverloadedError."""
        if self.in_flight >= self.most or self.rows > self.cost.most_rows:
            self.check()
        self.in_flight += 1

    def check(self) -> None:
        """Raises OverloadedError where `enter` would."""
        if self.in_flight >= self.most:
            raise self._overloaded(f"{self.in_flight} requests are in flight; allowed: {self.most}")
        self._check_rows()

    def wait(self, rows: int) -> int:
        """Have the rows of a request that was taken on wait, and give back how many. Raises OverloadedError."""
        if self.rows > self.cost.most_rows:
            self._check_rows()
        self.rows += rows
        return rows

    def leave(self, rows: int) -> None:
        """A request was answered, or never will be; so many rows of it waited."""
        self.in_flight -= 1
        self.rows -= rows

    def _check_rows(self) -> None:
        # Whatever takes long by itself is taken on where nothing waits.
        if self.rows and self.rows > self.cost.most_rows:
            seconds = self.cost.seconds(self.rows)
            raise self._overloaded(
                f"{self.rows} rows wait, which take about {seconds:.1f} s; allowed: {PATIENCE_SECONDS:g} s"
            )

    def _overloaded(self, text: str) -> OverloadedError:
        after = max(1, ceil(self.cost.seconds(self.rows) - PATIENCE_SECONDS))
        return OverloadedError(f"the server has more to do than it can answer in time: {text}", after)
