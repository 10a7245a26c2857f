"""Who answers."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Identity:
    """Who answers: the served name, the version and the deployment."""

    model: str
    version: str
    deployment: str

    def __str__(self) -> str:
        return f"{self.model} version {self.version} ({self.deployment})"
