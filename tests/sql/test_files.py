r"""The house rules that only the text of sql/ can tell.

Each file is named once by a \ir line of deploy.sql, and as an object that it creates; at most one function or view of it
is in public; SECURITY DEFINER has its reason in a comment on its line, or above the function.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fixtures.database import SQL

#: What psql runs by itself.
NOT_DEPLOYED = {"check.sql", "deploy.sql", "migrate_from_row_trigger.sql", "uninstall.sql"}

CREATED = re.compile(
    r"^create (?:or replace )?(function|procedure|aggregate|view|table|type) (?:if not exists )?(\w+)\.(\w+)(?! partition of)",
    re.MULTILINE,
)
DEFINER = re.compile(
    r"(?P<above>(?:^--[^\n]*\n)*)^create (?:or replace )?(?:function|procedure) (?P<name>[\w.]+)(?:(?!^create |\$\$).)*?\bsecurity definer\b(?P<beside>[^\n]*)",
    re.MULTILINE | re.DOTALL,
)


def breaches(folder: Path) -> Iterator[tuple[str, str]]:
    """File and what is wrong with it, of a folder laid out like sql/."""
    named = re.findall(r"^\\ir (\S+)", (folder / "deploy.sql").read_text(), re.MULTILINE)
    for path in sorted(folder.rglob("*.sql")):
        file = path.relative_to(folder)
        if NOT_DEPLOYED & set(file.parts):
            continue
        if named.count(file.as_posix()) != 1:
            yield file.as_posix(), "order"
        text = path.read_text()
        objects = CREATED.findall(text)
        if objects and path.stem not in {name for _, _, name in objects}:
            yield file.as_posix(), "name"
        api = {
            name for kind, schema, name in objects if schema == "public" and kind in ("function", "procedure", "view")
        }
        if len(api) > 1:
            yield file.as_posix(), "two of public"
        for found in DEFINER.finditer(text):
            if "--" not in found["beside"] and "security definer" not in found["above"].lower():
                yield file.as_posix(), "definer"
    for name in named:
        if not (folder / name).is_file():
            yield name, "missing"


def test_the_rules_hold() -> None:
    assert list(breaches(SQL)) == []


FUNCTION = "create or replace function a.f() returns int language plpgsql{} as $$ begin null; end $$;\n"
DEFINED = FUNCTION.format("\nsecurity definer{}\nset search_path = ''")

#: What f.sql may hold, and which rule that breaks.
TEXTS = [
    (FUNCTION.format(""), None),
    ("do $$ begin null; end $$;\n", None),
    ("create table if not exists a.f (n int);\ncreate view a.g as select 1;\n", None),
    ("create table a.g (n int);\n", "name"),
    ("create view public.f as select 1;\ncreate view public.g as select 1;\n", "two of public"),
    ("create table public.g (n int);\ncreate view public.f as select 1;\n", None),
    ("create function public.f() returns int return 1;\ncreate function public.f(n int) returns int return 1;\n", None),
    (DEFINED.format(""), "definer"),
    (DEFINED.format(" -- writers have no right on it"), None),
    ("-- SECURITY DEFINER: writers have no right on it.\n" + DEFINED.format(""), None),
    ("-- SECURITY DEFINER: of another one.\n" + FUNCTION.format("") + DEFINED.format(""), "definer"),
]


@pytest.mark.parametrize(("text", "rule"), TEXTS)
def test_a_breach_is_found(tmp_path: Path, text: str, rule: str | None) -> None:
    (tmp_path / "1_x").mkdir()
    (tmp_path / "1_x" / "f.sql").write_text(text)
    (tmp_path / "deploy.sql").write_text("\\ir 1_x/f.sql\n")
    assert list(breaches(tmp_path)) == ([("1_x/f.sql", rule)] if rule else [])


def test_files_that_are_forgotten_gone_or_named_twice_are_found(tmp_path: Path) -> None:
    (tmp_path / "deploy.sql").write_text("\\ir twice.sql\n\\ir gone.sql\n\\ir twice.sql\n")
    for name in ("twice.sql", "forgotten.sql", "uninstall.sql"):
        (tmp_path / name).write_text("select 1;\n")
    assert list(breaches(tmp_path)) == [("forgotten.sql", "order"), ("twice.sql", "order"), ("gone.sql", "missing")]
