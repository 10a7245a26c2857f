"""The demo: the whole loop on simulated transactions, in a workspace of its own below .serin/demo."""
