"""Whether Istio's documents mean what is there: gateways, Services with their ports, workloads, accounts."""

import fnmatch
from collections.abc import Iterator
from typing import Any

from tests.manifests.index import Index, namespace_of
from tests.manifests.workloads import service_port

Found = Iterator[str]


def routes_lead_to_services(index: Index) -> Found:
    """A VirtualService's gateways are there and take its hosts; its destinations are Services with that port."""
    for route in index.of("VirtualService"):
        title, namespace, spec = f"VirtualService {route['metadata']['name']}", namespace_of(route), route["spec"]
        for name in spec["gateways"]:
            gateway = index.get("Gateway", namespace, name)
            if gateway is None:
                yield f"{title}: there is no Gateway {name}"
                continue
            taken = [host for server in gateway["spec"]["servers"] for host in server["hosts"]]
            for host in spec["hosts"]:
                if not any(fnmatch.fnmatch(host, pattern) for pattern in taken):
                    yield f"{title}: Gateway {name} does not take {host}; it takes {', '.join(taken)}"
        for part in spec["http"]:
            for share in part["route"]:
                destination = share["destination"]
                yield from service_port(index, title, namespace, destination["host"], destination["port"]["number"])


def gateways_have_certificates(index: Index) -> Found:
    """A Gateway's pods are there, and the certificate in their namespace."""
    for gateway in index.of("Gateway"):
        title, selector = f"Gateway {gateway['metadata']['name']}", {"matchLabels": gateway["spec"]["selector"]}
        pods = [pod for pod in index.pods if pod in index.selected(selector, [pod.namespace])]
        if not pods:
            yield f"{title}: no pod has the labels {gateway['spec']['selector']}"
        for server in gateway["spec"]["servers"]:
            name = server.get("tls", {}).get("credentialName")
            for pod in pods:
                if name and not index.get("Secret", pod.namespace, name):
                    yield f"{title}: there is no Secret {pod.namespace}/{name}"


def rules_mean_services(index: Index) -> Found:
    """A DestinationRule's host is that of a Service."""
    for rule in index.of("DestinationRule"):
        host = rule["spec"]["host"]
        known = [f"{s['metadata']['name']}.{namespace_of(s)}.svc.cluster.local" for s in index.of("Service")]
        if not fnmatch.filter(known, host):
            yield f"DestinationRule {rule['metadata']['name']}: no Service is called {host}"


def policies_mean_workloads(index: Index) -> Found:
    """Selectors mean pods, ports are theirs, and principals are accounts."""
    for kind in ("AuthorizationPolicy", "RequestAuthentication", "PeerAuthentication", "Telemetry"):
        for policy in index.of(kind):
            title, namespace, spec = f"{kind} {policy['metadata']['name']}", namespace_of(policy), policy["spec"]
            pods = index.selected(spec.get("selector", {}), [namespace])
            if not pods:
                yield f"{title}: its selector means no pod of {namespace}"
            for rule in spec.get("rules", []):
                yield from _principals(index, title, rule)
                ports = {int(port) for to in rule.get("to", []) for port in to["operation"].get("ports", [])}
                for pod in pods:
                    yield from (f"{title}: {pod.title} opens no port {port}" for port in ports - pod.ports)


def _principals(index: Index, title: str, rule: dict[str, Any]) -> Found:
    for source in rule.get("from", []):
        for principal in source["source"].get("principals", []):
            _, _, namespace, _, account = principal.split("/")
            if not index.get("ServiceAccount", namespace, account):
                yield f"{title}: there is no ServiceAccount {namespace}/{account}"


CHECKS = (routes_lead_to_services, gateways_have_certificates, rules_mean_services, policies_mean_workloads)
