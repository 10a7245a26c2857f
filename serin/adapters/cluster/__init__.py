"""A cluster: Kubernetes, Prometheus and Kubeflow Pipelines behind the same ports."""
