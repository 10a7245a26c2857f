"""`make bench`: all benchmarks. A ratio above 1 means that Serin is that many times faster than the reference; metrics
of models stand beside the reference's on the same rows."""

from tests.bench import online, point_in_time, scoring, training, windows

if __name__ == "__main__":
    point_in_time.run()
    windows.run()
    online.run()
    scoring.run()
    training.run()
