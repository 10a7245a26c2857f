"""Training: one estimator, from the training set to a sealed model artifact."""
