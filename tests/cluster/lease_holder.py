"""A process that holds a lease which lapses after 3 s, until its standard input ends.

python -m tests.cluster.lease_holder NAME [wait]
"""

import sys

from serin.adapters.cluster.api import Api
from serin.adapters.cluster.lease import KubernetesLease
from serin.adapters.cluster.renewal import Times
from serin.errors import SerinError

if __name__ == "__main__":
    lease = KubernetesLease(Api("serin"), Times(duration=3, renew=0.5, deadline=2, poll=0.3))
    try:
        with lease.hold(sys.argv[1], wait=len(sys.argv) > 2):
            print("held", flush=True)
            sys.stdin.read()
    except SerinError as error:
        sys.exit(f"{type(error).__name__}: {error}")
