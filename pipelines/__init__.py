"""Wiring and entry points.

training, retraining, rollout, catalogue   the pipelines, and all of them by name
local                                      KFP's local runner, with progress and one clear error
cli, commands, console                     the `serin` command
demo                                       the story that `make demo` tells
use_cases                                  one YAML file a use case
"""
