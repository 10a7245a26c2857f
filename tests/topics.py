"""A model of another kind for tests: texts, TF-IDF and a logistic regression, exported to ONNX."""

from pathlib import Path

from serin.artifact import seal_files

TOPIC = "tests.topic_kind:Topic"
TEXTS = {
    "money": ("the bank raised its rates", "shares fell as rates rose", "a loan from the bank", "the bank fell"),
    "sport": ("a late goal won the match", "the team lost the match", "a goal in the last minute", "the late goal"),
}


def make_topics(folder: Path) -> Path:
    """Train the model that `tests.topic_kind` serves, and seal it in `folder`; returns the folder."""
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import StringTensorType
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    texts = [text for known in TEXTS.values() for text in known]
    topics = [topic for topic, known in TEXTS.items() for _ in known]
    model = make_pipeline(TfidfVectorizer(lowercase=False), LogisticRegression(C=100.0)).fit(texts, topics)
    options = {LogisticRegression: {"zipmap": False}}
    converted = to_onnx(model, initial_types=[("text", StringTensorType([None, 1]))], options=options)
    (folder / "model.onnx").write_bytes(converted.SerializeToString())
    seal_files(folder)
    return folder
