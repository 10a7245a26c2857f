"""A table's rows, checked and scored by column: the predictor's rules and its model, without a server."""
