"""Ingest: hold a source table to its rules and keep the good rows by date."""
