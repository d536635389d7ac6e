"""The linter of PL/pgSQL bodies finds what is wrong in them, on its line, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from embedded_sql import check


def found(folder: Path, text: str) -> list[tuple[int, str]]:
    """Line and rule of the findings in a file with this text, each once."""
    (folder / "file.sql").write_text(text)
    return sorted({(finding.line, finding.rule) for finding in check([folder])})


CLEAN = {
    "into and its targets": """\
do $$
declare
    total bigint;
begin
    select count(*)
    into strict total
    from public.killmails as k
    where k."killmailId" > total;

    select count(*) into total
    from public.killmails;

    insert into a.b (c)
    values (1)
    returning c into total;
end
$$;
""",
    "expressions, alone and behind a keyword": """\
do $$
declare
    limit_of constant integer := 5 * 2;
    names text[] := array['a', 'b'];
begin
    if exists (
        select 1
        from a.b as t
        where t.c = limit_of
    ) then
        names := names || 'c';
    end if;

    if
        limit_of > 1
        and names is not null
    then
        return;
    end if;

    raise exception 'too many: %', limit_of
        using errcode = 'data_exception', hint = format('at most %s', limit_of);
end
$$;
""",
    "parameters, records and the function's name qualify columns": """\
create function a.f(entity_id bigint, fact a.b, out result text)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    found_row a.b;
    rest a.b%rowtype;
    each record; -- what a loop is at
    -- not a declaration: where t.c = 1
    most constant bigint := (select t.c from a.b as t where t.c = entity_id);
begin
    found_row.c := fact.c;
    rest.c := 1;
    for each in select t.c from a.b as t inner join a.d as u on t.c = u.c where t.c = f.entity_id loop
        perform a.g(each.c, entity_id);
    end loop;

    select t.c
    into result
    from a.b as t
    inner join a.d as u on t.c = u.c and u.e = entity_id;
end
$$;

create table a.b (c bigint);
""",
    "triggers, sets, tables, procedures, labels and options of the body": """\
create function a.t() returns trigger language plpgsql as $$
begin
    insert into a.b (c)
    select n.c
    from arrived as n;

    new.c := old.c + 1;
    return new;
end
$$;

create function a.s(a.e[]) returns setof a.b language plpgsql as $$
begin
    return query
        select t.*
        from a.b as t;
end
$$;

create function a.r() returns table (c text, d bigint) language plpgsql as $$
#variable_conflict use_column
<<outermost>>
begin
    c := 'x';
    return next;
end
$$;

create procedure a.p(inout n bigint) language plpgsql as $body$
begin
    call a.q(n);
    commit;
    case n
        when 1 then n := 2;
        else n := 3;
    end case;
end;
$body$;

create table a.b (c bigint);
create function a.plain() returns integer language sql return 1;
""",
}


@pytest.mark.parametrize("text", CLEAN.values(), ids=CLEAN.keys())
def test_clean(tmp_path: Path, text: str) -> None:
    assert found(tmp_path, text) == []


BAD = {
    "not PL/pgSQL": (
        "do $$\nbegin\n    if true the\n        null;\n    end if;\nend\n$$;\n",
        [(1, "PL/pgSQL")],
    ),
    "not SQL": ("do $$\nbegin\n    perform 1 +;\nend\n$$;\n", [(1, "PL/pgSQL")]),
    "not even a file": ("select 1;\n\nselekt 2;\n", [(3, "SQL")]),
    "keyword in capitals": (
        "do $$\nbegin\n    delete from a.b as t\n    WHERE t.c = 1;\nend\n$$;\n",
        [(4, "CP01")],
    ),
    "line behind INTO": (
        "do $$\ndeclare\n    n bigint;\nbegin\n    select count(*)\n    into n\n    FROM a.b;\nend\n$$;\n",
        [(7, "CP01")],
    ),
    "expression": (
        "do $$\ndeclare\n    n int := 1;\nbegin\n    n := coalesce(NULL, n);\nend\n$$;\n",
        [(5, "CP04")],
    ),
    "condition": (
        "do $$\nbegin\n    if tg_op != 'x' then\n        null;\n    end if;\nend\n$$;\n",
        [(3, "CV01")],
    ),
    "perform": ("do $$\nbegin\n    perform a.f(1) From a.b as t;\nend\n$$;\n", [(3, "AL05"), (3, "CP01")]),
    "layout that no place in a file explains": (
        "do $$\nbegin\n    delete from a.b as t\n    where t.c = 1 or\n    t.c = 2;\nend\n$$;\n",
        [(4, "LT03")],
    ),
    "query of a loop": (
        "do $$\ndeclare\n    r record;\nbegin\n    for r in\n        SELECT t.c\n        from a.b as t\n"
        "    loop\n        null;\n    end loop;\nend\n$$;\n",
        [(6, "CP01")],
    ),
    "no variable's name": (
        "do $$\ndeclare\n    n int;\nbegin\n    insert into a.e (c)\n    select t.c\n    from a.b as t\n"
        "    inner join a.d as u on t.c = u.c\n    where t.e = n\n        and t.e = m;\nend\n$$;\n",
        [(10, "RF02")],
    ),
    "long line": (f"do $$\nbegin\n    -- {'x' * 280}\n    null;\nend\n$$;\n", [(3, "LT05")]),
    "ordinary string": ("do 'begin perform ''x''; end';\n", [(1, "PL/pgSQL")]),
}


@pytest.mark.parametrize(("text", "findings"), BAD.values(), ids=BAD.keys())
def test_bad(tmp_path: Path, text: str, findings: list[tuple[int, str]]) -> None:
    assert found(tmp_path, text) == findings


def test_psql_commands_are_no_sql(tmp_path: Path) -> None:
    assert found(tmp_path, "\\ir other.sql\n\\set x 1\nselect 1;\n") == []


def test_noqa_is_heeded(tmp_path: Path) -> None:
    text = "do $$\nbegin\n    delete from a.b as t\n    WHERE t.c = 1;{}\nend\n$$;\n"
    assert found(tmp_path, text.format("")) == [(4, "CP01")]
    assert found(tmp_path, text.format(" -- noqa: CP01")) == []
    assert found(tmp_path, text.format(" -- noqa: CP02")) == [(4, "CP01")]
