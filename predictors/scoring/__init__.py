"""From checked rows to answers: in batches, by the engine that is the quicker one."""
