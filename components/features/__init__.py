"""Features: window features at each event's time, the point-in-time training set, the online store."""
