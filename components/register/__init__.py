"""Registration: a version in MLflow, and which aliases it takes."""
