"""Drift: logged predictions against the training reference, and what follows."""
