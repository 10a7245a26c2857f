"""The model server: serves one model version from its artifact folder, and needs nothing of training.

python -m predictors --model_name card-fraud --model_dir DIR --model_version 12

__main__     start and end; `command_line` is what it is told, `signals` when it has to end
lean         what the process leaves out of others' imports
load         artifact to verified model
template     another kind of model, by the name of its class; `declared` checks what it says of itself
composition  the one place where a predictor is put together
edge/        REST (V1, V2) and gRPC: bytes to rows, answers to bytes; KServe's server and its few patches
requests/    what a request may hold, and the rows that it becomes
dataplane    where REST and gRPC meet: every prediction is admitted, scored, counted and traced there
scoring/     rows to answers: batches of the requests in flight, and the kinds of model that answer them
online/      features, windows and events of the online store
log/         the prediction log
batch/       a table's rows scored by the same rules, without a server (`serin score`)
identity     who answers: name, version and deployment
memory       what a large request took is given back
metrics      Prometheus; `tallies` are the series that are counted for each request
tracing      OpenTelemetry, where it is configured
faults       one line for each request that failed through no fault of its own
"""
