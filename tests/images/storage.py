"""Where the images of tests are kept: Buildah's storage in $XDG_CACHE_HOME/serin/images, by default
~/.cache/serin/images, with base, layers and downloads; delete that to start from nothing.
"""

import os
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "serin", "images")
_STORAGE = """[storage]
driver = "{driver}"
graphroot = "{folder}/storage"
runroot = "/run/serin-images"
"""


def variables(folder: Path) -> dict[str, str]:
    """What leads Buildah to the storage; its settings are written into `folder`."""
    CACHE.mkdir(parents=True, exist_ok=True)
    storage = folder / "storage.conf"
    storage.write_text(_STORAGE.format(driver=os.environ.get("STORAGE_DRIVER", "overlay"), folder=CACHE))
    # Buildah keeps downloads of packages there between builds.
    return {"CONTAINERS_STORAGE_CONF": str(storage), "TMPDIR": str(CACHE)}
