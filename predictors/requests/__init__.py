"""Prediction requests: what they may hold, and the rows that they become."""
