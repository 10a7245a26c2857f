"""All I/O, one system a file.

source_table                                           tables that users bring
feature_store, model_registry, revision                Feast, MLflow, Git
serving_target, templates, metrics_source              where versions are served, on a cluster and here
local_serving, local_controller, predictor_process,
gateway, envoy                                         the same on this machine: processes behind Envoy
processes, locks                                       what these need of the operating system
"""
