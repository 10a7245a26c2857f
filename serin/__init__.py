"""The library of Serin: what steps, commands and the predictor stand on. Imports point down.

demo                                        the loop as `make demo` tells it
platform                                    the composition root: which adapter stands behind each port
adapters                                    one system a file; local/ is this machine
scaffold, reports, learning, simulate       rooms of what commands and steps use
aliases, deployments, tables, values        which version serves, in which documents; a user's own table
ports                                       what a step needs of the world outside
engines, estimators                         how a model is kept and scored; what can be trained
artifact, use_case, workspace, partitions, predictions, progress, revision, storage, prediction_log, environment,
schema, columns, content, times, atomic, plugins, errors                       the ground floor

setup.cfg has the order as a contract, and adr/0004 the reasons.
"""
