"""Each house rule finds its breach, and accepts what keeps it."""

from __future__ import annotations

from pathlib import Path

import pytest

from house_rules import check

SWEEP = "revoke execute on all routines in schema a from public;\n"


def found(folder: Path, files: dict[str, str]) -> list[tuple[str, int, str]]:
    """File, line and rule of the findings in a folder with these files, all of them named by deploy.sql."""
    order = "".join(f"\\ir {name}\n" for name in files if name not in ("deploy.sql", "uninstall.sql"))
    for name, text in {"deploy.sql": order, **files}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return [(f.file.relative_to(folder).as_posix(), f.line, f.rule) for f in check(folder)]


CLEAN = {
    "pinned": """\
create function a.f(n integer, out m bigint) language plpgsql set search_path = '' as $$ begin null; end $$;
comment on function a.f(int) is 'x';
""",
    "inlined": """\
create function a.f(n text[]) returns integer language sql begin atomic select 1; end;
comment on function a.f(text[]) is 'x';
create function a.g() returns integer language sql return 1;
comment on function a.g() is 'x';
""",
    "commits": """\
create procedure a.f() language plpgsql as $$ begin commit; end $$;
comment on procedure a.f() is 'x';
""",
    "calls what may commit": """\
create procedure a.f() language plpgsql as $$ begin call a.g(); end $$;
comment on procedure a.f() is 'x';
""",
    "definer with its reason on the line": """\
create function a.f() returns int language plpgsql
security definer -- writers have no right on it
set search_path = '' as $$ begin null; end $$;
comment on function a.f() is 'x';
""",
    "definer with its reason above": """\
-- SECURITY DEFINER: writers have no right on it.
create function a.f() returns int language plpgsql
security definer set search_path = '' as $$ begin null; end $$;
comment on function a.f() is 'x';
""",
    "table, partition and temporary table": """\
create table a.f (n int) partition by range (n);
create table a.f_1 partition of a.f default;
create temp table g (n int);
comment on table a.f is 'x';
""",
    "view, type and aggregate": """\
create view a.f as select 1;
create type a.g as (n int);
create aggregate a.h (int) (sfunc = int4pl, stype = int);
comment on view a.f is 'x';
comment on type a.g is 'x';
comment on aggregate a.h(int) is 'x';
""",
    "no objects": "do $$ begin null; end $$;\n",
}


@pytest.mark.parametrize("text", CLEAN.values(), ids=CLEAN.keys())
def test_clean(tmp_path: Path, text: str) -> None:
    assert found(tmp_path, {"1_x/f.sql": text, "8_access/revoke.sql": SWEEP}) == []


FUNCTION = "create function a.f() returns int language plpgsql {} as $$ begin null; end $$;\n"
COMMENT = "comment on function a.f() is 'x';\n"

BAD = {
    "search path": (FUNCTION.format("") + COMMENT, [(1, "search-path")]),
    "search path of a query": (
        "create function a.f() returns int language sql as $$ select 1 $$;\n" + COMMENT,
        [(1, "search-path")],
    ),
    "definer": (FUNCTION.format("\nsecurity definer set search_path = ''") + COMMENT, [(2, "definer")]),
    "comment": (FUNCTION.format("set search_path = ''"), [(1, "comment")]),
    "comment on another overload": (
        FUNCTION.format("set search_path = ''") + "comment on function a.f(int) is 'x';\n",
        [(1, "comment")],
    ),
    "comment on a table": ("\n\ncreate table a.f (n int);\n", [(3, "comment")]),
    "name": ("create table a.g (n int);\ncomment on table a.g is 'x';\n", [(1, "name")]),
    "two of the public": (
        "create view public.f as select 1;\ncomment on view public.f is 'x';\n"
        "create view public.g as select 1;\ncomment on view public.g is 'x';\n",
        [(1, "name")],
    ),
}


@pytest.mark.parametrize(("text", "findings"), BAD.values(), ids=BAD.keys())
def test_bad(tmp_path: Path, text: str, findings: list[tuple[int, str]]) -> None:
    files = {"1_x/f.sql": text, "8_access/revoke.sql": SWEEP}
    assert found(tmp_path, files) == [("1_x/f.sql", *finding) for finding in findings]


def test_order_misses_files_on_both_sides(tmp_path: Path) -> None:
    files = {
        "deploy.sql": "\\ir 1_x/f.sql\n\\ir 1_x/gone.sql\n\\ir 1_x/f.sql\n",
        "uninstall.sql": "select 1;\n",
        "1_x/f.sql": "select 1;\n",
        "1_x/forgotten.sql": "select 1;\n",
        "7_checks/fail/nothing_is_wrong.sql": "select 1;\n",
        "sample/any.sql": "select 1;\n",
    }
    assert found(tmp_path, files) == [
        ("1_x/forgotten.sql", 1, "order"),
        ("deploy.sql", 2, "order"),
        ("deploy.sql", 3, "order"),
    ]


def test_check_is_one_query(tmp_path: Path) -> None:
    files = {"7_checks/one.sql": "select 1;\n", "7_checks/two.sql": "select 1;\nselect 2;\n"}
    assert found(tmp_path, files) == [("7_checks/two.sql", 1, "check")]


REVOKES = {
    "nothing": ("", "", True),
    "in the file": ("revoke execute on function a.f() from public;\n", "", False),
    "for the schema": ("", "revoke execute on all functions in schema a from public;\n", False),
    "for another schema": ("", "revoke execute on all functions in schema b from public;\n", True),
    "for procedures": ("", "revoke execute on all procedures in schema a from public;\n", True),
    "from somebody else": ("revoke execute on function a.f() from b;\n", "", True),
    "granted": ("grant execute on function a.f() to public;\n", "", True),
}


@pytest.mark.parametrize(("here", "last", "finding"), REVOKES.values(), ids=REVOKES.keys())
def test_public(tmp_path: Path, here: str, last: str, finding: bool) -> None:
    text = FUNCTION.format("set search_path = ''") + here + COMMENT
    expected = [("1_x/f.sql", 1, "public")] if finding else []
    assert found(tmp_path, {"1_x/f.sql": text, "8_access/revoke.sql": last}) == expected
