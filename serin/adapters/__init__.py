"""Adapters of the ports, one system a file; `serin.platform` chooses among them.

mlflow, tracking   the model registry, and what stands at its address
feast              the feature store
templates          the documents that ship with Serin
local/             this machine: processes behind Envoy, lock files, KFP's local runner
cluster/           the place of Kubernetes, Prometheus and KFP; nothing is there yet
"""
