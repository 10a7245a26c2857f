"""This machine: what Kubernetes, KServe, Istio and KFP do on a cluster.

serving, controller, predictor   documents in a folder, and the processes that follow them
documents                        what is read of the documents
gateway, envoy                   traffic: Envoy, set up from a VirtualService
metrics                          a deployment's counters
runner                           pipelines, a process a step
lease, processes, loopback       what these need of the operating system
"""
