"""A cluster: Kubernetes, Prometheus and KFP behind the same ports. Nothing is here yet."""
