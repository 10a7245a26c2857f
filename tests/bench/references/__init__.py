"""Servers that Serin is measured against. Each runs in an environment of its own and imports nothing of Serin's."""
