"""Window features: what they are, and how one request's are computed from the events of its entities.

The training set's are computed by one query over all events, from the same definitions.

aggregations   what each aggregation is: of a frame in SQL, and of events as states that can be merged
events         what is kept online of each event, and by which id
tail           the latest events of one entity, as the online store keeps them
packing        tables of events as packed tails
pushes         tails with what was pushed since
hops           an entity's older events, merged to one state a hop
narrow         numbers as few bytes, for tails and hops
query          the window features of many events at once, offline
frames         the text of that query
values         the window features of an event, from its entity's tail
"""
