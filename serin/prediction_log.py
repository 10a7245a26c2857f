"""The prediction log's columns: what the predictor writes and the drift check reads.

Beside these, a row of a tabular model holds its entity keys, its event's key (`data.key`, null where the request did
not give it) and each model input under its own name. Another kind of model has the fixed ones and its own.
"""

# Of every kind of model; the log adds the last three itself.
FIXED = {
    "logged_at": "timestamp",
    "event_timestamp": "timestamp",
    "request_id": "text",
    "row": "index",
    "model": "text",
    "model_version": "text",
    "deployment": "text",
}
# Of a tabular model.
SCORED = {
    "score": "number",
    "decision": "boolean",
    "feature_age_seconds": "number",
    "missing_features": "index",
}
COLUMNS = FIXED | SCORED
