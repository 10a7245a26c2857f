"""What the online store has of a request's entities, and the events that go there.

enrich     the features of a request's rows
histories  the windows among them, from the events of entities
events     events and labels that are pushed
"""
