"""Reads the HTML and SVG that Serin writes as a browser would, and fails where they are not well-formed."""

import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

VOID = {"meta", "link", "br", "img", "hr", "input"}
HOSTILE = "<script>$\\frac{a}$&\"'</script>"
SVG = "{http://www.w3.org/2000/svg}"


class Reader(HTMLParser):
    """Texts, links and tags of a page; fails where tags are not closed in order."""

    def __init__(self, page):
        super().__init__()
        self.open, self.tags, self.texts, self.hrefs, self.ids = [], [], [], [], []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.hrefs += [value for name, value in attrs if name in ("href", "src")]
        self.ids += [value for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.texts.append(data.strip())


def texts(svg):
    """All texts of an SVG element; fails where it is not well-formed, holds a script or is too large."""
    root = ElementTree.fromstring(svg)  # noqa: S314 (Serin wrote it itself)
    assert root.tag == f"{SVG}svg"
    assert root.attrib["viewBox"]
    assert root.attrib["aria-label"]
    assert not root.findall(f".//{SVG}script")
    assert len(svg) < 200_000
    return ["".join(element.itertext()).strip() for element in root.iter(f"{SVG}text")]
