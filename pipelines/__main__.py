"""`python -m pipelines` is `serin`."""

from pipelines.cli import main

main()
