"""The steps of the loop, one folder each, and what they share.

    ingest ─▶ features ─▶ train ─▶ evaluate ─▶ register     drift     rollout      the steps (with component.py)
    simulate   scaffold   report   serving                                         what commands and steps use
    adapters                                                                       all I/O, one system a file

In a step's folder `logic.py` and its neighbours are pure; `run.py` puts I/O around them, and `component.py` is the
thin wrapper that makes it a task of a pipeline.
"""
