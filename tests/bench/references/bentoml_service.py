"""A service of BentoML, which answers V1's body on a route of its own."""

import bentoml
import session


@bentoml.service(workers=1)
class CardFraud:
    """Takes complete rows."""

    def __init__(self):
        self._model = session.Model()

    @bentoml.api(route="/predict")
    async def predict(self, instances: list[dict[str, float]]) -> dict[str, list]:
        """Scores for the rows of one request."""
        return session.predictions(self._model.of_rows(instances))
