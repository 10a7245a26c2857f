"""The client of the API server before its first request."""

from pathlib import Path

import pytest

from serin.adapters.cluster.api import Api
from serin.errors import UnavailableError


@pytest.mark.parametrize("text", ["clusters: [\n  a: : b", "x"], ids=["no YAML", "no mapping"])
def test_a_broken_kubeconfig_is_named(tmp_path: Path, text: str):
    broken = tmp_path / "config"
    broken.write_text(text)
    for ask in (lambda: Api(kubeconfig=broken).namespace, lambda: Api("serin", broken).host):
        with pytest.raises(UnavailableError, match=rf"^the kubeconfig {broken} can't be read: "):
            ask()


def test_a_folder_in_place_of_a_kubeconfig_is_named(tmp_path: Path):
    with pytest.raises(UnavailableError, match=rf"^the kubeconfig {tmp_path} can't be read: .*directory"):
        _ = Api("serin", tmp_path).host
