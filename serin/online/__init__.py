"""The online store, as it is filled and as it is read: Redis or SQLite, whichever `feature_store.yaml` names.

It holds two things. Rows of feature views in Feast's own format, which `FeatureStore.get_online_features` reads too.
And an event log a use case and entity column: of each entity the tail of events that its windows reach, as of the last
refresh, and beside it what was pushed since. See adr/0025.

plan                what a model version reads, as its manifest says it
store               what any online store can do
opening             the one that `feature_store.yaml` names
config              which one `feature_store.yaml` names
codec               keys and values as Feast writes them
rows                rows of views on their way into it
sqlite              in a SQLite file
redis               on Redis
redis_read          what a read asks of Redis, and what it makes of the replies
redis_connections   to a Redis server
"""
