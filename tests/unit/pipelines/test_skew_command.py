"""What `serin skew` and its pipeline's report tell, for people and for programs."""

import json

import pyarrow as pa
import pytest

from components.features.skew_check import check_skew
from components.features.skew_report import html, markdown
from pipelines.commands import skew
from pipelines.console import Console
from tests.markup import Reader
from tests.skew_world import CASE, as_served, changed, events_of_cards, log, of_period, platform_of


@pytest.fixture(scope="module")
def events():
    return events_of_cards()


@pytest.fixture
def platform(tmp_path, events):
    return platform_of(tmp_path, events)


def skewed(events, rows=3):
    """The log of a predictor that counts one too many in some rows."""
    served = as_served(events, of_period(events))
    counts = served["count_7d"].to_numpy(zero_copy_only=False).copy()
    counts[:rows] += 1
    return changed(served, "count_7d", pa.array(counts))


def run(platform, *, limit=0.0, as_json=True):
    return skew.run(Console(as_json), platform, "cards", 0, "", "", limit)


def test_programs_get_one_document_with_all_counts(platform, events, capsys):
    log(platform, skewed(events))
    assert not run(platform)
    found = json.loads(capsys.readouterr().out)
    assert (found["verdict"], found["version"]) == ("skewed", 3)
    assert found["rows"] - found["equal"] == 3
    assert found["share_equal"] == found["equal"] / found["rows"]
    assert found["counts"]["by_key"] == found["counts"]["logged"] == found["rows"]
    column = found["columns"]["count_7d"]
    assert (column["differing"], column["mean_difference"]) == (3, 1.0)
    assert column["first"][0]["keys"].keys() == {"TX", "CARD"}
    assert found["columns"]["AMOUNT"]["differing"] == 0


def test_what_the_limit_allows_is_no_skew(platform, events):
    log(platform, skewed(events))
    assert run(platform, limit=0.05)


def test_people_see_columns_and_first_rows(platform, events, capsys):
    log(platform, skewed(events))
    run(platform, as_json=False)
    out = capsys.readouterr().out
    assert "served otherwise than trained" in out
    assert "rows are equal in all inputs, 3 differ" in out
    assert "count_7d" in out
    assert "cards-skew.html" in out


def test_report_has_figures_and_loads_nothing(platform, events):
    log(platform, skewed(events))
    page = Reader(html(check_skew(platform, CASE), CASE))
    assert page.tags.count("svg") == 2
    assert not [href for href in page.hrefs if not href.startswith("#")]
    assert "cards: features as served and as trained" in page.texts


def test_report_of_nothing_says_so(platform, events):
    served = as_served(events, of_period(events))
    log(platform, changed(served, "model_version", pa.array(["2"] * len(served))))
    check = check_skew(platform, CASE)
    assert "nothing could be compared" in Reader(html(check, CASE)).texts
    assert markdown(check).startswith("**nothing could be compared** (v3)")
    assert not run(platform)


def test_summary_lists_the_columns_that_differ(platform, events):
    log(platform, skewed(events))
    lines = markdown(check_skew(platform, CASE)).splitlines()
    assert lines[0] == "**served otherwise than trained** (v3)"
    assert [line for line in lines if line.startswith("| count_7d")] == ["| count_7d | 3 | 0 | 0 | 1 | 1 |"]
