"""The ground floor: the use case model and the few types that training and serving share.

Nothing here imports the rest of Serin, or any of the systems it runs on.
"""
