"""The steps of the loop, one folder each.

    ingest ─▶ features ─▶ train ─▶ evaluate ─▶ register        drift        leak        rollout        score

`component.py` makes a step a task of a pipeline, `run.py` puts I/O around it, and the modules beside them are pure and
named for what they are. A step reaches the world outside through the ports of the platform that it is handed.
"""
