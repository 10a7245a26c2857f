"""Batch scoring: a table in, scores out, by the predictor's own rules and model.

source       a table as it streams in
target       files that are there in full or not at all, though they are written batch by batch
run          from one to the other
component    the step of a pipeline
"""
