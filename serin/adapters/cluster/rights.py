"""The rights that an account needs in the namespace, by what it does: data, for RBAC, `serin doctor` and the tests."""

from collections.abc import Mapping

from serin.adapters.cluster.api import DEPLOYMENT, LEASE, POD, SERVED, Kind
from serin.ports import INFERENCE_SERVICE, VIRTUAL_SERVICE

Rights = Mapping[Kind, tuple[str, ...]]
# Server-side apply asks for `patch`, and for `create` where nothing is there yet.
_APPLY = ("get", "create", "patch")

# Whoever moves an alias, ingests or registers: every pipeline.
LEASES: Rights = {LEASE: _APPLY}
# Rollout, `serin serve` and `serin status`.
SERVING: Rights = {
    **LEASES,
    SERVED[INFERENCE_SERVICE]: (*_APPLY, "list", "delete"),
    SERVED[VIRTUAL_SERVICE]: _APPLY,
    DEPLOYMENT: ("get",),
    POD: ("list",),
}
