"""The prediction log: every scored row, off the request path.

writer            takes rows from the event loop and brings them to the spool
columns           what the log holds of a row, and answers as Arrow's columns
spool, frames     files on the local disk, and how they are written; `locks` tell whose they are
upload            from the spool to the store
drops             what is lost, counted and said
options, limits   the command line's part, and how long and how much waits
opening           the log that the command line asks for
"""
