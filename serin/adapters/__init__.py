"""Adapters of the ports, one system a file; `serin.platform` chooses among them.

mlflow, feast   the model registry, the feature store
templates       the documents that ship with Serin
local/          this machine: processes behind Envoy, lock files, KFP's local runner
cluster/        Kubernetes, Prometheus and KFP
"""
