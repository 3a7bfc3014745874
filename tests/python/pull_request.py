"""What a pull request shows: annotations as GitHub's runner reads them, and pages as GitHub's Markdown draws them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser

import cmarkgfm
from cmarkgfm.cmark import Options

LONGEST_COMMENT = 65_536
COMMAND = re.compile(r"^::(?P<level>notice|warning|error)(?: (?P<properties>[^:]*))?::(?P<message>.*)$")


@dataclass(frozen=True)
class Annotation:
    level: str
    file: str | None
    line: int | None
    column: int | None
    title: str
    message: str


def annotations(text: str) -> list[Annotation]:
    """Every line is a command, or the text is not what was asked for."""
    return [annotation(line) for line in text.splitlines()]


def annotation(line: str) -> Annotation:
    """As the runner reads it (`ActionCommand.TryParseV2`): properties end at a comma, the message at the line's end."""
    command = COMMAND.match(line)
    assert command, f"not a command: {line!r}"
    properties = dict(part.split("=", 1) for part in (command["properties"] or "").split(",") if part)
    said = {name: unescaped(value, {"%3A": ":", "%2C": ","}) for name, value in properties.items()}
    return Annotation(
        level=command["level"],
        file=said.get("file"),
        line=int(said["line"]) if "line" in said else None,
        column=int(said["col"]) if "col" in said else None,
        title=said["title"],
        message=unescaped(command["message"], {}),
    )


def unescaped(text: str, further: dict[str, str]) -> str:
    for escape, meant in {"%0D": "\r", "%0A": "\n", **further, "%25": "%"}.items():
        text = text.replace(escape, meant)
    return text


@dataclass
class Page(HTMLParser):
    """A comment as it is drawn: `title`, `paragraphs`, `rows` of its table, and `folded` code by its summary."""

    markdown: str
    title: str = ""
    paragraphs: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    folded: dict[str, str] = field(default_factory=dict)
    elements: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        super().__init__()
        assert len(self.markdown) <= LONGEST_COMMENT
        self._into: list[str] = []
        self._summary = ""
        # GitHub draws HTML of its own list; what is raw here must be ours.
        self.feed(cmarkgfm.github_flavored_markdown_to_html(self.markdown, Options.CMARK_OPT_UNSAFE))
        self.close()

    @property
    def marker(self) -> str:
        return self.markdown.split("\n", 1)[0]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        if tag == "br":
            self._into.append("\n")
        elif tag == "tr":
            self.rows.append([])
        elif tag in ("h3", "p", "th", "td", "summary", "pre"):
            self._into = []

    def handle_data(self, data: str) -> None:
        self._into.append(data)

    def handle_endtag(self, tag: str) -> None:
        text = "".join(self._into)
        if tag == "h3":
            self.title = text
        elif tag == "p":
            self.paragraphs.append(text)
        elif tag in ("th", "td"):
            self.rows[-1].append(text)
        elif tag == "summary":
            self._summary = text
        elif tag == "pre":
            self.folded[self._summary] = text


# What our own pages are made of. An element that is not here came from a user's text.
OURS = {"h3", "p", "table", "thead", "tbody", "tr", "th", "td", "code", "br", "details", "summary", "pre"}
