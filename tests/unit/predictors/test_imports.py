import subprocess
import sys


def test_a_predictor_with_an_online_store_loads_neither_feast_nor_duckdb() -> None:
    code = (
        "import sys, predictors.edge.kserve, predictors.online.enrich, predictors.online.events, serin.online.store, "
        "serin.online.redis, serin.online.sqlite; print(sorted({'feast', 'duckdb'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert found.stdout.strip() == "[]"
