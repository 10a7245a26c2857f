"""What a serving process does not load, each in a process of its own."""

import subprocess
import sys


def loaded(code: str) -> str:
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    return found.stdout.strip()


def test_a_predictor_with_an_online_store_loads_neither_feast_nor_duckdb_nor_kubernetes_client() -> None:
    code = (
        "import sys; from predictors.lean import lean; lean()\n"
        "import predictors.composition, predictors.online.enrich, serin.online.redis, serin.online.sqlite\n"
        "print(sorted({'feast', 'duckdb', 'kubernetes', 'sklearn', 'xgboost'} & set(sys.modules)))"
    )
    assert loaded(code) == "[]"


def test_boosters_do_without_scikit_learn_which_is_there_afterwards() -> None:
    code = (
        "import sys; from predictors.lean import lean; lean()\n"
        "import xgboost, lightgbm; print('sklearn' in sys.modules)\n"
        "import sklearn.linear_model; print('sklearn' in sys.modules)"
    )
    assert loaded(code).split() == ["False", "True"]


def test_what_is_imported_already_stays_as_it_is() -> None:
    code = (
        "import sklearn; from predictors.lean import lean; lean()\n"
        "import xgboost; print(issubclass(xgboost.XGBClassifier, sklearn.base.BaseEstimator))"
    )
    assert loaded(code) == "True"
