"""What Serin writes for a model version, filled as it fills it."""

import pytest

from tests.manifests import scene, schemas


def test_filled_templates_have_no_field_that_their_schema_does_not_know():
    try:
        found = [problem for document in scene.filled() for problem in schemas.problems(document)]
    except schemas.NoSchemaError as error:
        pytest.skip(str(error))
    assert found == []


def test_autoscaler_and_budget_are_sound_without_any_crd():
    own = [document for document in scene.filled() if not schemas.is_custom(document)]
    assert {document["kind"] for document in own} == {"HorizontalPodAutoscaler", "PodDisruptionBudget"}
    assert [problem for document in own for problem in schemas.problems(document)] == []
