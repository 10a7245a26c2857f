"""`make bench`: all benchmarks, or the parts that are named. A ratio above 1 means that Serin is that many times faster
than the reference; metrics of models stand beside the reference's on the same rows."""

import sys

from tests.bench import online, point_in_time, scoring, serving, training, windows

PARTS = {
    "point-in-time": point_in_time.run,
    "windows": windows.run,
    "online": online.run,
    "scoring": scoring.run,
    "training": training.run,
    "serving": serving.run,
}

if __name__ == "__main__":
    chosen = sys.argv[1:] or list(PARTS)
    if unknown := [name for name in chosen if name not in PARTS]:
        sys.exit(f"python -m tests.bench: found {', '.join(unknown)}, allowed: {', '.join(PARTS)}")
    for name in chosen:
        PARTS[name]()
