"""`serin new`: a use case file and its Feast definitions for a user's own table. `serin init`: a workspace for them.

proposal                    the use case, and in whole sentences what was guessed
table                       the table under Serin's names
columns, notation, label    what its columns hold, and how they are written
features, training, leaks   what is made of them, and what is left out
render                      the two files
workspace                   `serin init`
"""
