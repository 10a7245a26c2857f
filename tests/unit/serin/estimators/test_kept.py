"""scikit-learn models as bytes."""

import subprocess
import sys

import numpy as np
import pytest

from serin.estimators.kept import dumps, loads

FIT = """
import hashlib, sys
import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from serin.estimators.kept import dumps
clutter = [object() for _ in range(int(sys.argv[1]))]
rows = np.random.default_rng(0).normal(size=(200, 3))
labels = (rows[:, 0] > 0).astype(int)
for model in (RandomForestClassifier(5, random_state=0), make_pipeline(StandardScaler(), LogisticRegression())):
    print(hashlib.sha256(dumps(model.fit(rows, labels))).hexdigest())
"""


def test_the_same_model_has_the_same_bytes_in_every_process():
    first, second = (
        subprocess.run([sys.executable, "-c", FIT, count], capture_output=True, text=True, check=True).stdout
        for count in ("1", "12345")
    )
    assert first == second
    assert len(set(first.split())) == 2


@pytest.mark.parametrize("trees", [1, 7])
def test_a_model_that_is_read_back_gives_the_same_scores(trees):
    from sklearn.ensemble import RandomForestClassifier

    rows = np.random.default_rng(1).normal(size=(300, 4))
    model = RandomForestClassifier(trees, random_state=0).fit(rows, rows[:, 1] > 0.3)
    again = loads(dumps(model))
    assert np.array_equal(again.predict_proba(rows), model.predict_proba(rows))
    assert dumps(again) == dumps(model)
