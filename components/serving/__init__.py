"""Serving: the documents that put a model version behind the model's name."""
