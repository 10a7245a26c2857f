"""Training: one candidate, from the training set to a sealed model artifact."""
