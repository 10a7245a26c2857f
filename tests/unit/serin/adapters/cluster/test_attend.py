"""How a model on a cluster is asked."""

import shlex

from serin.adapters.cluster.attend import asking
from tests.cluster_scenarios import MODEL, traffic

HOST = f"{MODEL}.serin.internal"
PATH = f"/v1/models/{MODEL}:predict"


def _command(gateway: str) -> list[str]:
    where, command = asking(traffic({f"{MODEL}-v1": 100}), MODEL, gateway)
    assert where == f"  {gateway}{PATH}, host {HOST}"
    return shlex.split(command)


def test_a_gateway_without_tls_is_told_the_host_in_a_header():
    found = _command("http://10.0.0.1:8080")
    assert found[:5] == ["curl", "-s", "-H", f"Host: {HOST}", f"http://10.0.0.1:8080{PATH}"]
    assert found[5:] == ["-H", "Authorization: Bearer $TOKEN", "-d", '{"instances": [...]}']


def test_a_gateway_with_tls_is_told_the_host_in_the_handshake():
    found = _command("https://gateway.example")
    assert found[2:5] == ["--connect-to", f"{HOST}:443:gateway.example:443", f"https://{HOST}:443{PATH}"]


def test_without_a_gateway_path_and_host_are_told():
    (line,) = asking(traffic({f"{MODEL}-v1": 100}), MODEL, "")
    assert line.startswith(f"  {PATH}, host {HOST}, at the mesh's gateway; SERIN_GATEWAY is")
