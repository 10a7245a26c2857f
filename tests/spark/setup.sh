#!/usr/bin/env bash
# Make sure of what `make spark-test` needs: a Java runtime, and .venv-spark, which is .venv with pyspark beside it.
set -euo pipefail
cd "$(dirname "$0")/../.."

java=${JAVA_HOME:+$JAVA_HOME/bin/java}
command -v "${java:-java}" >/dev/null || tests/packages.sh spark-test default-jre-headless

venv=.venv-spark
[ ! -L "$venv" ] || { echo "$venv is a link to $(readlink "$venv"): not this checkout's to set up" >&2; exit 1; }
[ "$venv/.ready" -nt requirements-spark.lock ] && [ "$venv/.ready" -nt .venv/.ready ] && exit 0
echo "setting up $venv (once; pyspark is 500 MB, and is built from its source package)"
.venv/bin/python -m venv --clear "$venv"
.venv/bin/uv pip install --quiet --python "$venv/bin/python" --require-hashes --no-deps -r requirements-spark.lock
# Its site-packages come first, those of .venv after them.
.venv/bin/python - "$venv" <<'P'
import sys, sysconfig
from pathlib import Path
own = sysconfig.get_path("purelib", vars={"base": sys.argv[1]})
Path(own, "serin.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
P
touch "$venv/.ready"
