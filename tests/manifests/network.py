"""Whether NetworkPolicies mean pods that are there, and ports that these open; and who may call whom by them."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tests.manifests.index import Index, Pod, namespace_of

Found = Iterator[str]
Peer = Mapping[str, Any]


def policies_mean_pods(index: Index) -> Found:
    """Each selector means a pod, and each port is one of the pods that are called."""
    for policy in index.of("NetworkPolicy"):
        title, namespace, spec = _title(policy), namespace_of(policy), policy["spec"]
        own = index.selected(spec["podSelector"], [namespace])
        if not own:
            yield f"{title}: its selector means no pod"
        for direction, side in (("ingress", "from"), ("egress", "to")):
            for rule in spec.get(direction, []):
                for peer in rule.get(side, []):
                    if "ipBlock" not in peer and not peers(index, namespace, peer):
                        yield f"{title}: {direction}: no pod is meant by {peer}"
                called = own if direction == "ingress" else _called(index, namespace, rule)
                yield from _unopened(f"{title}: {direction}", called, rule)


def what_is_allowed_out_is_allowed_in(index: Index) -> Found:
    """A call that one pod's policies let out is let in by the policies of the other, and the other way round."""
    policies = index.of("NetworkPolicy")
    for policy in policies:
        namespace, spec = namespace_of(policy), policy["spec"]
        for direction, side, other in (("egress", "to", "ingress"), ("ingress", "from", "egress")):
            for rule in spec.get(direction, []):
                for peer in rule.get(side, []):
                    for near in index.selected(spec["podSelector"], [namespace]):
                        for far in peers(index, namespace, peer):
                            for port in rule.get("ports", []):
                                if not _lets(index, policies, far, near, port["port"], other):
                                    yield (
                                        f"{_title(policy)}: {direction} of {near.title}: the policies of {far.title} "
                                        f"do not let {other} of port {port['port']} through"
                                    )


def _lets(
    index: Index, policies: Iterable[Mapping[str, Any]], pod: Pod, peer: Pod, port: int | str, direction: str
) -> bool:
    """Whether the policies of a pod's namespace, if it has any, let it talk with another."""
    own = [p for p in policies if namespace_of(p) == pod.namespace and _means(index, p, pod)]  # type: ignore[arg-type]
    own = [p for p in own if direction.capitalize() in p["spec"]["policyTypes"]]
    side = "from" if direction == "ingress" else "to"
    rules = [rule for p in own for rule in p["spec"].get(direction, []) if _ported(rule, port)]
    return not own or any(peer in peers(index, pod.namespace, found) for rule in rules for found in rule.get(side, []))


def _ported(rule: Mapping[str, Any], port: int | str) -> bool:
    return "ports" not in rule or any(found["port"] == port for found in rule["ports"])


def _means(index: Index, policy: Mapping[str, Any], pod: Pod) -> bool:
    return pod in index.selected(policy["spec"]["podSelector"], [pod.namespace])


def _called(index: Index, namespace: str, rule: Mapping[str, Any]) -> list[Pod]:
    return [pod for peer in rule.get("to", []) for pod in peers(index, namespace, peer)]


def peers(index: Index, namespace: str, peer: Peer) -> tuple[Pod, ...]:
    """The pods that a rule's peer means, seen from a policy of `namespace`; none for a block of addresses."""
    if "ipBlock" in peer:
        return ()
    spaces = index.namespaces(peer["namespaceSelector"]) if "namespaceSelector" in peer else (namespace,)
    return index.selected(peer.get("podSelector", {}), spaces)


def _unopened(title: str, pods: Iterable[Pod], rule: Mapping[str, Any]) -> Found:
    for pod in pods:
        for port in rule.get("ports", []):
            if port["port"] not in pod.ports:
                yield f"{title}: {pod.title} opens no port {port['port']}"


def _title(policy: Mapping[str, Any]) -> str:
    return f"NetworkPolicy {policy['metadata']['name']}"


CHECKS = (policies_mean_pods, what_is_allowed_out_is_allowed_in)
