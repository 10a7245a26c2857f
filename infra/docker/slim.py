"""Take out of an image's environment what nothing in it uses: python3 slim.py ENVIRONMENT [--predictor]

What stays is compiled, for the root file system is read-only. The tests of the images run what is left
(tests/images).
"""

import argparse
import compileall
import os
import py_compile
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

# Required by Feast and KServe for work that no image does: checking types of SQLAlchemy, generating gRPC code.
UNUSED = ("ast-serialize", "grpcio-tools", "librt", "mypy", "mypy-extensions", "setuptools")
# Required by KServe for its Kubernetes client, which a serving process does not even import (predictors/lean.py), and
# for clients, pictures and tables.
UNUSED_BY_PREDICTOR = (
    *("aiohappyeyeballs", "aiohttp", "aiosignal", "frozenlist", "multidict", "propcache", "yarl"),
    *("kubernetes", "oauthlib", "requests-oauthlib", "websocket-client", "websockets"),
    *("pillow", "tabulate", "wcwidth"),
)
# For whoever compiles against a library, reads its types or debugs its web pages.
FOR_DEVELOPERS = (".a", ".c", ".cpp", ".h", ".hpp", ".map", ".pxd", ".pxi", ".pyi", ".pyx")
# Feast's web page, Arrow's RPC and the names that it is linked by.
PARTS = (
    "feast/ui",
    "pyarrow/_flight.*.so",
    "pyarrow/include",
    "pyarrow/libarrow_flight.so*",
    "pyarrow/libarrow_python_flight.so*",
    "pyarrow/src",
)
# The predictor knows S3 and how to get its credentials.
SERVICES = ("s3", "sso", "sso-oidc", "sts")


def main() -> None:
    """Slim the environment that the command line names, and compile what is left."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("environment", type=Path)
    options.add_argument("--predictor", action="store_true", help="what the predictor alone does not use, too")
    chosen = options.parse_args()
    (packages,) = chosen.environment.glob("lib/python3*/site-packages")
    uninstall = [
        Path(__file__).with_name("tools") / "bin" / "uv",
        "pip",
        "uninstall",
        "--quiet",
        "--python",
        chosen.environment,
        *UNUSED,
        *(UNUSED_BY_PREDICTOR if chosen.predictor else ()),
    ]
    subprocess.run(uninstall, check=True)
    for path in superfluous(packages, predictor=chosen.predictor):
        remove(path)
    # By hash, unchecked: the times of files in a layer are nobody's promise.
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    if not compileall.compile_dir(packages, quiet=2, workers=0, invalidation_mode=mode):
        print("some modules of the environment don't compile, as templates and other languages' don't", file=sys.stderr)


def superfluous(packages: Path, *, predictor: bool) -> Iterator[Path]:
    """Files and folders of site-packages that may go; a folder before what is in it."""
    for part in PARTS:
        yield from packages.glob(part)
    for folder, folders, files in os.walk(packages):
        # Evidently has an interface of that name.
        if "tests" in folders and any(Path(folder, "tests").rglob("test_*.py")):
            yield Path(folder, "tests")
        yield from (Path(folder, name) for name in files if name.endswith(FOR_DEVELOPERS))
    if predictor:
        data = packages / "botocore" / "data"
        yield from (path for path in data.iterdir() if path.is_dir() and path.name not in SERVICES)


def remove(path: Path) -> None:
    """Remove a file or a folder; one that is gone with its folder is no error."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
