"""What the online store has of a request's entities, and the events that go there."""
