"""The model server: serves one model version from its artifact folder, and needs nothing of training.

python -m predictors --model_name card-fraud --model_dir DIR --model_version 12

__main__     command line and start           server, rest, grpc_server   KServe's server and its two edges
load         artifact to verified model       model                       KServe's interface to the scorer
requests     requests to checked columns      score                       columns to scores
values       what one value may be            enrich                      features from the online store
metrics      Prometheus                       log                         the prediction log
"""
