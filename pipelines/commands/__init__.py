"""One module a command of `serin`; pipelines/cli.py is their table of contents."""
