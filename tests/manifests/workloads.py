"""Whether what workloads, accounts and settings name is there."""

import re
from collections.abc import Iterator

from tests.manifests.index import Index, Pod, matches, namespace_of
from tests.manifests.rendering import Document

Found = Iterator[str]
_URL = re.compile(r"https?://([a-z0-9-]+)\.([a-z0-9-]+)\.svc\.cluster\.local(?::(\d+))?")


def pods_name_what_is_there(index: Index) -> Found:
    """ServiceAccount, ConfigMap and Secret with the key, volume, and the port of a probe."""
    for pod in index.pods:
        account = pod.spec.get("serviceAccountName")
        if account and not index.get("ServiceAccount", pod.namespace, account):
            yield f"{pod.title}: there is no ServiceAccount {pod.namespace}/{account}"
        yield from _volumes(index, pod)
        for container in (*pod.spec.get("initContainers", []), *pod.spec["containers"]):
            title = f"{pod.title}: container {container['name']}"
            yield from _environment(index, pod.namespace, title, container)
            yield from _probes(title, container)


def _volumes(index: Index, pod: Pod) -> Found:
    volumes = {volume["name"]: volume for volume in pod.spec.get("volumes", [])}
    claims = {claim["metadata"]["name"] for claim in _claims(index, pod)}
    for container in (*pod.spec.get("initContainers", []), *pod.spec["containers"]):
        for mount in container.get("volumeMounts", []):
            if mount["name"] not in volumes and mount["name"] not in claims:
                yield f"{pod.title}: container {container['name']} mounts {mount['name']}, no volume of the pod"
    for volume in volumes.values():
        if (name := volume.get("configMap", {}).get("name")) and not index.get("ConfigMap", pod.namespace, name):
            yield f"{pod.title}: there is no ConfigMap {pod.namespace}/{name}"
        if name := volume.get("secret", {}).get("secretName"):
            title = f"Secret {pod.namespace}/{name}"
            secret = index.get("Secret", pod.namespace, name)
            if not secret:
                yield f"{pod.title}: there is no {title}"
            for key in (item["key"] for item in volume["secret"].get("items", [])):
                if secret and key not in secret["data"]:
                    yield f"{pod.title}: volume {volume['name']}: {title} has no key {key}"


def _claims(index: Index, pod: Pod) -> list[Document]:
    kind, _, name = pod.title.partition(" ")
    found = index.get(kind, pod.namespace, name) or {}
    claims: list[Document] = found.get("spec", {}).get("volumeClaimTemplates", [])
    return claims


def _environment(index: Index, namespace: str, title: str, container: Document) -> Found:
    for kind, source in (("ConfigMap", "configMapRef"), ("Secret", "secretRef")):
        for whole in container.get("envFrom", []):
            if source in whole and not index.get(kind, namespace, whole[source]["name"]):
                yield f"{title}: there is no {kind} {namespace}/{whole[source]['name']}"
    for variable in container.get("env", []):
        for kind, source in (("ConfigMap", "configMapKeyRef"), ("Secret", "secretKeyRef")):
            if named := variable.get("valueFrom", {}).get(source):
                holder = index.get(kind, namespace, named["name"])
                if holder is None:
                    yield f"{title}: {variable['name']}: there is no {kind} {namespace}/{named['name']}"
                elif named["key"] not in holder.get("data", {}) and not named.get("optional"):
                    keys = ", ".join(holder.get("data", {})) or "none"
                    yield (
                        f"{title}: {variable['name']}: {kind} {namespace}/{named['name']} has no key {named['key']}; "
                        f"it has {keys}"
                    )


def _probes(title: str, container: Document) -> Found:
    ports = {port.get(part) for port in container.get("ports", []) for part in ("name", "containerPort")}
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        for action in ("httpGet", "tcpSocket", "grpc"):
            port = container.get(probe, {}).get(action, {}).get("port")
            if port is not None and port not in ports:
                yield f"{title}: {probe} asks port {port}, which it does not open"


def services_have_pods(index: Index) -> Found:
    """A Service's selector means pods, and its target port is one of theirs; a StatefulSet's Service is there."""
    for service in index.of("Service"):
        selector, namespace = service["spec"].get("selector"), namespace_of(service)
        if selector is None:
            continue
        pods = index.selected({"matchLabels": selector}, [namespace])
        if not pods:
            yield f"Service {service['metadata']['name']}: no pod has the labels {selector}"
        for port in service["spec"]["ports"]:
            target = port.get("targetPort", port["port"])
            yield from (
                f"Service {service['metadata']['name']}: {pod.title} opens no port {target}"
                for pod in pods
                if target not in pod.ports
            )
    for stateful in index.of("StatefulSet"):
        name = stateful["spec"]["serviceName"]
        if not index.get("Service", namespace_of(stateful), name):
            yield f"StatefulSet {stateful['metadata']['name']}: there is no Service {name}"


def selectors_mean_their_own_pods(index: Index) -> Found:
    """A controller selects the pods of its template."""
    for kind in ("Deployment", "StatefulSet"):
        for document in index.of(kind):
            template = document["spec"]["template"]["metadata"].get("labels", {})
            if not matches(document["spec"]["selector"], template):
                yield f"{kind} {document['metadata']['name']}: its selector does not mean its own pods"


def bindings_bind(index: Index) -> Found:
    """A RoleBinding's role and accounts are there, and so are the objects that a Role names."""
    for binding in index.of("RoleBinding"):
        title, namespace = f"RoleBinding {binding['metadata']['name']}", namespace_of(binding)
        role = binding["roleRef"]
        if not index.get(role["kind"], namespace if role["kind"] == "Role" else "", role["name"]):
            yield f"{title}: there is no {role['kind']} {role['name']}"
        for subject in binding["subjects"]:
            if not index.get("ServiceAccount", subject.get("namespace", ""), subject["name"]):
                yield f"{title}: there is no ServiceAccount {subject.get('namespace', '')}/{subject['name']}"
    for role in index.of("Role"):
        for rule in role["rules"]:
            kinds = {"secrets": "Secret", "configmaps": "ConfigMap"}
            for kind in filter(None, map(kinds.get, rule["resources"])):
                for name in rule.get("resourceNames", []):
                    if not index.get(kind, namespace_of(role), name):
                        yield f"Role {role['metadata']['name']}: there is no {kind} {namespace_of(role)}/{name}"


def accounts_have_secrets(index: Index) -> Found:
    """The Secrets that a ServiceAccount names are there, those of registries among them."""
    for account in index.of("ServiceAccount"):
        for secret in (*account.get("secrets", []), *account.get("imagePullSecrets", [])):
            if not index.get("Secret", namespace_of(account), secret["name"]):
                yield f"ServiceAccount {account['metadata']['name']}: there is no Secret {secret['name']}"


def addresses_lead_to_services(index: Index) -> Found:
    """A Service that a ConfigMap's value names as an address is there, with the port."""
    for config in index.of("ConfigMap"):
        for key, value in config.get("data", {}).items():
            for name, namespace, port in _URL.findall(value):
                title = f"ConfigMap {config['metadata']['name']}: {key}"
                number = int(port) if port else (443 if value.startswith("https") else 80)
                yield from service_port(index, title, namespace, name, number)


def service_port(index: Index, title: str, namespace: str, name: str, number: int) -> Found:
    """A Service is there and has a port of that number."""
    service = index.get("Service", namespace, name)
    if service is None:
        yield f"{title}: there is no Service {namespace}/{name}"
    elif number not in {port["port"] for port in service["spec"]["ports"]}:
        ports = ", ".join(str(port["port"]) for port in service["spec"]["ports"])
        yield f"{title}: Service {namespace}/{name} has no port {number}; it has {ports}"


CHECKS = (
    pods_name_what_is_there,
    services_have_pods,
    selectors_mean_their_own_pods,
    bindings_bind,
    accounts_have_secrets,
    addresses_lead_to_services,
)
