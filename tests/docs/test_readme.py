"""What the documentation points to exists: links, headings, files, and the commands of the Makefile."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.fixtures.database import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)

#: `make target` in code, in a line of its own or between backquotes, with what may be set before and after.
COMMAND = re.compile(r"(?:^|`|&& )make +((?:[A-Z_]+=\S+ +)*)([a-z][a-z-]*)", re.MULTILINE)
TARGET = re.compile(r"^([a-z][a-z-]*):.*## ", re.MULTILINE)


def anchors(page: str) -> set[str]:
    """The names that GitHub gives to the headings of a page."""
    found: set[str] = set()
    for heading in HEADING.findall(FENCE.sub("", page)):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        name = base = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
        number = 0
        while name in found:
            number += 1
            name = f"{base}-{number}"
        found.add(name)
    return found


def broken_links(path: Path) -> list[str]:
    """The links of a page to files of the repository, or to headings, that lead nowhere."""
    broken = []
    for link in LINK.findall(FENCE.sub("", path.read_text())):
        if re.match(r"[a-z]+:", link):
            continue
        file, _, anchor = link.partition("#")
        target = (path.parent / file).resolve() if file else path
        if not target.exists() or (anchor and anchor not in anchors(target.read_text())):
            broken.append(link)
    return broken


def unknown_commands(page: str, makefile: str) -> list[str]:
    """The `make` commands of a page that the Makefile's help does not list."""
    targets = set(TARGET.findall(makefile))
    return sorted({target for _, target in COMMAND.findall(page)} - targets)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    assert broken_links(path) == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_exist(path: Path) -> None:
    assert unknown_commands(path.read_text(), (ROOT / "Makefile").read_text()) == []


def test_readme_names_every_dag() -> None:
    documented = re.findall(r"^\| `(entity_stats_\w+)`", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert sorted(documented) == sorted(path.stem for path in ROOT.glob("dags/entity_stats_*.py"))


def test_readme_names_every_folder_of_the_logic() -> None:
    text = (ROOT / "README.md").read_text()
    assert [folder.name for folder in ROOT.glob("sql/[0-9]_*") if folder.name not in text] == []


def test_pictures_are_those_that_the_script_takes() -> None:
    taken = re.findall(r"""save\("([a-z-]+)\"""", (ROOT / "demo" / "screenshots.py").read_text())
    pictures = sorted((ROOT / "docs" / "images").glob("*"))
    assert [picture.name for picture in pictures] == sorted(f"{name}.png" for name in taken)
    shown = "\n".join(page.read_text() for page in PAGES)
    assert [picture.name for picture in pictures if f"images/{picture.name}" not in shown] == []
    assert [picture.name for picture in pictures if picture.stat().st_size >= 300_000] == []


def test_a_link_to_nowhere_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# A `b`: c\n[x](#a-b-c) [y](page.md) [z](https://example.com)\n[gone](gone.md) [page](page.md#none)\n"
        "```\n[not a link](nowhere)\n```\n"
    )
    assert broken_links(page) == ["gone.md", "page.md#none"]


def test_a_command_that_does_not_exist_is_found() -> None:
    makefile = "help: ## List\ntest-pg: x ## Test\n"
    page = "`make help` and `make fly`\n```\nmake PG=18 test-pg\nmake test\nmake sure\n```\nto make money"
    assert unknown_commands(page, makefile) == ["fly", "sure", "test"]
