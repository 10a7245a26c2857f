"""What training and evaluation have in common.

split      the parts of a training set
encoding   rows as the model's input, labels
metrics    scores against labels
"""
