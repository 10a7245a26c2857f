"""Where a cluster's services are, from variables."""

import pytest

from serin.adapters.cluster.endpoints import Endpoints, shown
from serin.errors import UnavailableError


@pytest.mark.parametrize("name", ["SERIN_GATEWAY", "SERIN_KFP_HOST"])
def test_a_url_that_is_printed_may_hold_no_password(name: str):
    with pytest.raises(UnavailableError) as refused:
        Endpoints.from_variables({name: "https://ann:secret@host.example/path"})
    assert str(refused.value) == (
        f"{name} is 'https://host.example/path' behind a user or password; allowed: a URL without them"
    )


def test_a_host_that_is_given_as_an_option_may_hold_no_password():
    with pytest.raises(UnavailableError, match=r"--host is 'https://kfp\.example'"):
        Endpoints.from_variables({}).at("https://ann:secret@kfp.example")


def test_a_url_without_its_scheme_is_refused_and_its_password_not_told():
    with pytest.raises(
        UnavailableError, match=r"^SERIN_PROMETHEUS is 'prometheus:9090'; allowed: a URL that starts with"
    ):
        Endpoints.from_variables({"SERIN_PROMETHEUS": "ann:secret@prometheus:9090"})


def test_prometheus_may_ask_for_a_password_and_it_is_not_shown():
    found = Endpoints.from_variables({"SERIN_PROMETHEUS": "https://ann:s@cret@prometheus.example/sub/"})
    assert found.prometheus == "https://ann:s@cret@prometheus.example/sub"
    assert shown(found.prometheus) == "https://prometheus.example/sub"
