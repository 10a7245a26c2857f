"""From checked rows to answers: in batches, by the engine that is the quicker one.

kind       what a kind of model declares
plain      the answers of somebody else's kind, held to what it declared
batches    the requests in flight, answered together
admission  what answering takes, and which requests are taken on
tabular    the kind of an artifact folder: `inputs` makes its matrix, `explain` its explanations
"""
