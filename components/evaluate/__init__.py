"""Evaluation: the candidate and the champion on the same held-back rows, and the gate."""
