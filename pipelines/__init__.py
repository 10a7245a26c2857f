"""Wiring and entry points.

training, retraining, refresh, rollout, skew, leak, score   the pipelines
catalogue                                            all of them by name
settings                                             what a cluster must know of each task
runs, submission                                     running them, and what came of it; submitting one to Kubeflow
schedules                                            what runs by itself
cli, commands, console                               the `serin` command
use_cases                                            one YAML file a use case
"""
