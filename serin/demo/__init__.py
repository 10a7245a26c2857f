"""The demo: the whole loop on simulated transactions, told by the commands that a person would type."""
