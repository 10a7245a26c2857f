"""Wiring and entry points.

training, retraining, refresh, rollout   the pipelines
catalogue                                all of them by name
runs                                     running them, and what came out of a run
cli, commands, console                   the `serin` command
use_cases                                one YAML file a use case
"""
