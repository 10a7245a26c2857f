"""Features: window features as of refresh times, the point-in-time training set, the online store."""
