"""The prediction log: every scored row, off the request path."""
