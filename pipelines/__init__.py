"""Wiring and entry points.

training, retraining, refresh, rollout   the pipelines
catalogue                                all of them by name
settings                                 what a cluster must know of each task
runs, submission                         running them, and what came out of a run; submitting one to Kubeflow
cli, commands, console                   the `serin` command
use_cases                                one YAML file a use case
"""
