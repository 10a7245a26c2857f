"""`serin new`: a use case file and its Feast definitions for a user's own table."""
