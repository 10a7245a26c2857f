"""What a person calls the steps, here and in the Kubeflow UI, by the name that each gives itself as it runs."""

from collections.abc import Mapping

TITLES: Mapping[str, str] = {
    "estimators": "list the estimators",
    "ingest": "ingest and check",
    "features": "features and training set",
    "refresh": "feature views and online store",
    "labels": "find the events and correct their labels",
    "push": "bring them online",
    "stack": "stack the estimators",
    "evaluate": "evaluate",
    "register": "register",
    "drift": "look for drift",
    "skew": "compare features as served with features as trained",
    "leak": "look for features that know too much",
    "rollout": "roll out",
    "score": "score the table",
}
