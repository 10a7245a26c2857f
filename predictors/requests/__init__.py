"""Prediction requests: what they may hold, and the rows that they become.

schema         the one definition: V1 rows and V2 tensors, checked, with the words of every refusal
fields, values  its columns, and what their values may be
rows           what a request becomes
fast           bodies whose meaning is beyond doubt, straight into rows; `typed` tells their columns to msgspec, and
               `shapes` makes rows of what it decoded
json_schema    the same definition for the page of the API
"""
