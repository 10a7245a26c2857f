"""What training and evaluation have in common.

split         the parts of a training set, and its validation folds
encoding      rows as the model's input, labels
sampling      the rows that a search is content with
metrics       scores against labels
assessed      rows to measure models on, with all their metrics
intervals     how much of a metric is chance
paired        the same of several models at once, on the same draws
calibrating   from scores to probabilities
thresholds    from probabilities to decisions
record        what a training tells of its work
kubeflow      what the Kubeflow UI draws of scores
"""
