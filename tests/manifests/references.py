"""Whether what one document names is there: in another of the set, or among what README.md and upstream.yaml declare.

workloads   pods, Services, accounts, addresses
versions    model versions, and what scales, protects and measures them
network     NetworkPolicies
mesh        Istio's routes, rules and policies

Each check is a generator of texts that name the document, what it says, and what is missing.
"""

from collections.abc import Iterable

from tests.manifests import mesh, network, versions, workloads
from tests.manifests.index import Index
from tests.manifests.rendering import Document

_CHECKS = (*workloads.CHECKS, *versions.CHECKS, *network.CHECKS, *mesh.CHECKS)


def problems(documents: Iterable[Document]) -> list[str]:
    """What is named and not there; empty where all is."""
    index = Index(documents)
    return [problem for check in _CHECKS for problem in check(index)]
