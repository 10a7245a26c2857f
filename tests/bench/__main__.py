"""`make bench`: all benchmarks. A ratio above 1 means that Serin is that many times faster than the reference."""

from tests.bench import point_in_time

if __name__ == "__main__":
    point_in_time.run()
