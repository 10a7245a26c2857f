"""Window features: what they are, and how one request's are computed from the events of its entities.

The training set's are computed by one query over all events, from the same definitions.

aggregations   what each aggregation is: of a frame in SQL, and of events as states that can be merged
tail           the latest events of one entity, as the online store keeps them
hops           its older events, merged to one state a hop
narrow         numbers as few bytes, for both
query          the window features of many events at once, offline
frames         the text of that query
values         the window features of an event, from its entity's tail
"""
