"""The image that every pipeline step runs in on a cluster; locally a step is a process of this environment."""

import os

IMAGE = os.environ.get("SERIN_IMAGE", "serin/pipelines:0.1.0")
