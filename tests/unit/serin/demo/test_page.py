"""The page and the table at the end, from the results of commands."""

import re
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from serin import use_case
from serin.demo import page, story
from serin.errors import SerinError
from serin.reports.page import Moment
from serin.reports.timelines import Mark
from serin.scaffold.workspace import shipped
from tests.markup import HOSTILE, Reader

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def trained(version, estimator="xgboost", gate="passed"):
    return {
        "version": version,
        "estimator": estimator,
        "as_of": "2026-03-05T00:00:00+00:00",
        "gate": gate,
        "metrics": {"average_precision": 0.75, "roc_auc": 0.9},
        "report": f"card-fraud-v{version}.html",
    }


def rolled_out(version, phase, *weights, reason=""):
    canary = f"card-fraud-v{version}"
    updates = [{"weights": {"card-fraud-v1": 100 - weight, canary: weight}} for weight in weights]
    return {"canary": canary, "phase": phase, "reason": reason, "updates": updates}


@pytest.fixture
def told():
    samples = pd.DataFrame(
        {
            "time": NOON + pd.to_timedelta(np.arange(100), unit="s"),
            "version": ["v1"] * 60 + ["v2"] * 40,
            "status": 200,
            "latency_ms": 5.0,
            "put_off": 0,
        }
    )
    case = use_case.load("card_fraud", shipped("pipelines/use_cases"))
    return story.Story(
        narrator=SimpleNamespace(),
        terminal=SimpleNamespace(),
        case=case,
        port=8080,
        traffic=SimpleNamespace(samples=samples),
        moments=[Moment("12:00:00", "v1 trained", "in a while", "good")],
        marks=[Mark(NOON + timedelta(seconds=60), "v2 100 %")],
        trained={"first": trained(1), "second": trained(2), "bad": trained(3, "random_forest", "failed")},
        checks={
            "drifted": {
                "rows": 1300,
                "share": 0.5,
                "drifted": ["TX_AMOUNT", "score"],
                "reasons": ["the score drifted"],
                "psi": {"TX_AMOUNT": 0.9, "hour": 0.7, "terminal_count_1d": 0.1, "score": 0.3},
                "limits": {"TX_AMOUNT": 0.2, "hour": 0.2, "terminal_count_1d": 0.2, "score": 0.2},
                "report": "card-fraud-drift.html",
            }
        },
        rollouts={
            "second": rolled_out(2, "Promoted", 20, 20, 50, 100),
            "bad": rolled_out(3, "RolledBack", 20, 0, reason="latency is 300 ms"),
        },
    )


def test_table_at_the_end_tells_the_whole_story(told):
    assert page.results(told) == [
        ("champion v1 trained and served", "xgboost, 60 requests"),
        ("live traffic with drift switched on", "from 2026-03-07, 1,300 rows judged"),
        ("drift found", "2 columns: TX_AMOUNT, score"),
        ("v2 trained", "average precision 0.750, gate passed"),
        ("canary v2 stepped and promoted", "20 % → 50 % → 100 %"),
        ("deliberately bad v3 rolled back", "latency is 300 ms"),
        ("requests lost", "0"),
    ]


def test_requests_that_were_put_off_are_told(told):
    told.traffic.samples.loc[:2, "put_off"] = 2
    (line,) = (found for what, found in page.results(told) if what == "requests lost")
    assert line == "0; 3 told to ask again by a version with too much to do"


def test_page_shows_versions_traffic_and_the_judged_columns(told):
    read = Reader(page.index(told))
    assert {"v1 trained", "100 requests to 2 versions, 0 failed", "the score drifted", "TX_AMOUNT"} <= set(read.texts)
    assert "random_forest" in read.texts
    assert "hour" not in read.texts
    assert read.tags.count("svg") == 2


def test_pages_that_the_index_links_to_are_written_beside_it(told, tmp_path):
    for result in (*told.trained.values(), told.checks["drifted"]):
        result["report"] = str(tmp_path / result["report"])
        (tmp_path / result["report"]).write_text("a page")
    index = page.write(told, tmp_path / "report")
    hrefs = [href for href in Reader(index.read_text()).hrefs if not href.startswith("#")]
    assert sorted(hrefs) == ["demo-drift.html", "demo-v1.html", "demo-v2.html", "demo-v3.html"]
    assert all((index.parent / href).read_text() == "a page" for href in hrefs)


def test_names_with_markup_stay_text(told):
    told.trained["first"]["estimator"] = told.rollouts["bad"]["reason"] = HOSTILE
    told.checks["drifted"]["reasons"] = [HOSTILE]
    assert "script" not in Reader(page.index(told)).tags


def test_story_that_ended_as_told_is_no_error(told):
    story.check_end(told, lost=0)


@pytest.mark.parametrize(("chapter", "phase"), [("second", "RolledBack"), ("bad", "Promoted")])
def test_story_with_another_end_is_an_error(told, chapter, phase):
    told.rollouts[chapter]["phase"] = phase
    message = f"the demo did not go as told: .*{told.rollouts[chapter]['canary']}: {phase}"
    with pytest.raises(SerinError, match=message):
        story.check_end(told, lost=0)


def test_lost_requests_are_an_error(told):
    told.traffic.samples.loc[:1, "status"] = 503
    lost = page.lost(told.traffic.samples)
    with pytest.raises(SerinError, match=re.escape("2 requests got no prediction")):
        story.check_end(told, lost)
