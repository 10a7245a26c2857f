"""Rollout: bring a new version in by steps of traffic, judge it, promote it or roll it back."""
