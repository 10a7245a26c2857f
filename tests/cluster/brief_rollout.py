"""`serin rollout` with leases that lapse after 3 s instead of 30, for a test that kills it again and again.

python -m tests.cluster.brief_rollout USE_CASE VERSION
"""

import sys
from dataclasses import replace

from components.rollout.run import roll_out_version
from serin.adapters.cluster.api import Api
from serin.adapters.cluster.lease import KubernetesLease
from serin.adapters.cluster.renewal import Times
from serin.platform import build

_BRIEF = Times(duration=3, renew=0.5, deadline=2, poll=0.3)

if __name__ == "__main__":
    platform = build()
    brief = replace(platform, lease=KubernetesLease(Api("serin"), _BRIEF))
    state = roll_out_version(brief, brief.own_use_case(sys.argv[1]), int(sys.argv[2]), print)
    print(state.phase)
