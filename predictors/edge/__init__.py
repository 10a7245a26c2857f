"""What callers reach: REST and gRPC, from bytes to checked rows and from answers to bytes."""
