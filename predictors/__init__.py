"""The model server: serves one model version from its artifact folder, and needs nothing of training.

python -m predictors --model_name card-fraud --model_dir DIR --model_version 12

__main__     command line and start           server, rest, grpc_server   KServe's server and its two edges
body         bodies of HTTP requests
load         artifact to verified model       model                       KServe's interface to the scorer
requests     requests to checked rows         score                       rows to scores
fields       columns that are given           enrich                      features from the online store
values       what one value may be            histories                   events of entities, and their windows
rows         rows, and those refused          events                      events and labels that are pushed
metrics      Prometheus                       answers                     scores to V1 and V2 answers
log          the prediction log
"""
