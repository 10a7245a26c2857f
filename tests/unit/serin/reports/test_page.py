"""The HTML page: complete, self-contained, and safe whatever a name or a value holds."""

import pytest

from serin.reports.page import Figure, Link, Links, Moment, Section, Table, Text, Tile, Timeline, render
from tests.markup import HOSTILE, Reader


def page(*parts, **more):
    return Reader(render("A title", [Section("One", parts), Section("Two", ())], **more))


def test_page_holds_title_subtitle_tiles_and_headings():
    read = page(subtitle="in short", tiles=[Tile("Lost", "0", "of 9,000", "good")])
    assert {"A title", "in short", "Lost", "0", "of 9,000", "One", "Two"} <= set(read.texts)


def test_contents_link_to_sections_that_exist():
    read = page()
    assert read.hrefs == ["#section-1", "#section-2"]
    assert {href[1:] for href in read.hrefs} <= set(read.ids)


def test_a_page_of_one_section_has_no_contents():
    assert "nav" not in Reader(render("t", [Section("One", ())])).tags


def test_table_writes_numbers_for_reading():
    table = Table(("name", "value"), (("a", 0.43126), ("b", 1234567), ("c", 12345.6), ("d", None)), "caption")
    read = page(table)
    assert {"name", "a", "0.4313", "1,234,567", "12,346", "–", "caption"} <= set(read.texts)


def test_table_puts_a_column_with_numbers_to_the_right():
    assert Table(("a", "b", "c"), (("x", None, "y"), ("x", 1, "y"))).numeric == (False, True, False)
    assert Table(("a",), ()).numeric == (False,)


def test_every_part_is_drawn():
    svg = '<svg role="img"><text>0.913</text></svg>'
    read = page(
        Text("a paragraph", "warn"),
        Figure(svg, "what it shows"),
        Timeline((Moment("10:00", "trained", "in 12 s", "good"),)),
        Links((Link("more", "v1.html", "the run"),)),
    )
    assert {"a paragraph", "0.913", "what it shows", "10:00", "trained", "in 12 s", "more"} <= set(read.texts)
    assert "v1.html" in read.hrefs


def test_markup_in_any_text_is_escaped():
    parts = (
        Text(HOSTILE),
        Table((HOSTILE,), ((HOSTILE,),), HOSTILE),
        Timeline((Moment(HOSTILE, HOSTILE, HOSTILE),)),
        Links((Link(HOSTILE, HOSTILE, HOSTILE),)),
        Figure("<svg></svg>", HOSTILE),
    )
    text = render(HOSTILE, [Section(HOSTILE, parts)], subtitle=HOSTILE, tiles=[Tile(HOSTILE, HOSTILE, HOSTILE)])
    read = Reader(text)
    assert "script" not in read.tags
    assert read.texts.count(HOSTILE) >= 12
    assert read.hrefs == [HOSTILE]


def test_page_loads_nothing_and_runs_nothing():
    read = page(Text("a"))
    assert not {"script", "link", "img", "iframe"} & set(read.tags)
    assert all(href.startswith("#") for href in read.hrefs)


def test_figure_that_is_no_svg():
    with pytest.raises(ValueError, match=r"a figure is one <svg> element; found '<script>'"):
        Figure("<script>")
