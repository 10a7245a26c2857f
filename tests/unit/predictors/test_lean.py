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
        "print(sorted({'feast', 'duckdb', 'kubernetes', 'pandas', 'sklearn', 'xgboost'} & set(sys.modules)))"
    )
    assert loaded(code) == "[]"


def test_boosters_do_without_scikit_learn_which_is_there_afterwards() -> None:
    code = (
        "import sys; from predictors.lean import lean; lean()\n"
        "import xgboost, lightgbm; print('sklearn' in sys.modules)\n"
        "import sklearn.linear_model; print('sklearn' in sys.modules)"
    )
    assert loaded(code).split() == ["False", "True"]


def test_arrow_and_boosters_do_without_pandas_which_is_there_afterwards() -> None:
    code = (
        "import sys; from predictors.lean import lean; lean()\n"
        "import pyarrow as pa, pyarrow.dataset, pyarrow.parquet, numpy as np, xgboost, lightgbm\n"
        "pa.array(np.zeros(3)); pa.table({'a': [1.5, None]})\n"
        "xgboost.train({}, xgboost.DMatrix(np.eye(3), [0, 1, 1]), 1).inplace_predict(np.eye(3))\n"
        "print('pandas' in sys.modules)\n"
        "import pandas; print(pa.table({'a': [1.5]}).to_pandas().equals(pandas.DataFrame({'a': [1.5]})))"
    )
    assert loaded(code).split() == ["False", "True"]


def test_code_of_another_kind_has_arrow_know_its_data_frames() -> None:
    code = (
        "from predictors.lean import lean; lean(own_code=True)\n"
        "import kserve.protocol.infer_type as infer, pandas, pyarrow as pa\n"
        "print(infer.pd is pandas, pa.array(pandas.Series([1, None])).null_count)"
    )
    assert loaded(code) == "True 1"


def test_what_is_imported_already_stays_as_it_is() -> None:
    code = (
        "import sklearn; from predictors.lean import lean; lean()\n"
        "import xgboost; print(issubclass(xgboost.XGBClassifier, sklearn.base.BaseEstimator))"
    )
    assert loaded(code) == "True"
