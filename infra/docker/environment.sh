#!/bin/sh
# Steps of the Dockerfile:
#   tools               uv and setuptools beside this script, from tools.txt
#   dependencies EXTRA... /opt/serin: what extras of setup.cfg need, as requirements.lock pins it
#   wheel               Serin's wheel beside this script
#   serin               the wheel into /opt/serin, its workspace into /app
# All that is downloaded is held against a hash of tools.txt or requirements.lock.
set -eu

if [ -f /run/secrets/packages ]; then set -a; . /run/secrets/packages; set +a; fi
export UV_CACHE_DIR=/var/cache/uv UV_LINK_MODE=copy UV_NO_CONFIG=1 UV_PYTHON_DOWNLOADS=never
here=$(dirname "$(readlink -f "$0")")
uv=$here/tools/bin/uv
python=/opt/serin/bin/python

tools() {
  python3 -m pip install --quiet --no-cache-dir --disable-pip-version-check --root-user-action=ignore \
    --only-binary :all: --require-hashes --target "$here/tools" --requirement "$here/tools.txt"
}

dependencies() {
  "$uv" venv --quiet --python "$(command -v python3)" /opt/serin
  # uv keeps the pins and hashes of an output file that is there: what is left is the lock file's part for these extras.
  cp requirements.lock wanted.txt
  "$uv" pip compile --quiet --python $python $(printf -- '--extra %s ' "$@") --constraints requirements.lock --generate-hashes \
    --build-constraints tools.txt --no-header --no-annotate setup.cfg --output-file wanted.txt
  "$uv" pip install --quiet --python $python --require-hashes --requirements wanted.txt
}

wheel() {
  PYTHONPATH=$here/tools python3 -c "from setuptools.build_meta import build_wheel; build_wheel('dist')" >/dev/null
}

serin() {
  PYC_INVALIDATION_MODE=UNCHECKED_HASH "$uv" pip install --quiet --python $python --offline --no-cache --no-deps \
    --compile-bytecode "$here"/dist/*.whl
  cp -R /opt/serin/share/serin/. /app
  # A checkout may be its owner's alone; the image's user is another one.
  find /app /opt/serin ! -type l ! -perm -a+r -exec chmod a+rX {} +
}

"$@"
