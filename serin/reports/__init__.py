"""Pages and plots that a person reads: self-contained HTML with inline SVG.

page                      a page from plain data
evaluation                the report of a training run
agreement                 figures of how far two tables agree
plots, timelines, style   figures of a model and of traffic, and the look of both
"""
