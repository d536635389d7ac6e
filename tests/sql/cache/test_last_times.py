"""The last kill and loss of entities whose newest killmails went, looked up in the source for all of them at once."""

from __future__ import annotations

import pytest

from tests.fixtures.database import WRITER, Database
from tests.fixtures.worlds import SHAPES, assert_exact, fold_pending, pending

#: What the look-ups of one type and side answer, and what they should: for every entity, and some that nobody has, at the time
#: of every killmail, a microsecond before it, at both ends of time, and before the oldest killmail; in one call, and so with all reaches.
BESIDE_THE_SOURCE = """
with asked as (
    select e.id, m.until
    from generate_series(1, 14) as e (id)
    cross join (
        select k."killmailTime" at time zone 'UTC' - d.less as until
        from public.killmails as k
        cross join (values (interval '0'), (interval '1 microsecond')) as d (less)
        union
        select unnest(array['infinity', '-infinity', '1999-01-01']::timestamp[])
    ) as m
    where {some}
),
expected as (
    select a.id, max(k."killmailTime") at time zone 'UTC' as time
    from asked as a
    inner join public.killmails as k on k."{party}" = a.id and k."killmailTime" <= a.until at time zone 'UTC'
    group by a.id, a.until
),
answered as (
    select l."entityId", l."lastTime"
    from (select array_agg(a.id) as ids, array_agg(a.until) as until from asked as a) as a
    cross join lateral entity_stats.last_times('{kind}', {attacker}, a.ids, a.until) as l
)
select (select count(*) from expected), count(*)
from (
    (select e.* from expected as e except all select a.* from answered as a)
    union all
    (select a.* from answered as a except all select e.* from expected as e)
) as different
"""


@pytest.mark.parametrize("shape", SHAPES, indirect=True)
@pytest.mark.parametrize("some", ["true", "m.until > now() - interval '20 days'"], ids=["any time", "young"])
@pytest.mark.parametrize("kind", ["character", "corporation", "alliance"])
def test_answers_are_those_of_the_source(ready: Database, kind: str, some: str) -> None:
    for side, attacker in (("topAttacker", "true"), ("victim", "false")):
        query = BESIDE_THE_SOURCE.format(some=some, kind=kind, party=f"{side}{kind.capitalize()}Id", attacker=attacker)
        [(expected, different)] = ready.fetch(query)
        assert (expected > 100, different) == (True, 0)


@pytest.mark.parametrize("shape", SHAPES, indirect=True)
@pytest.mark.parametrize("deferred", [False, True])
def test_the_newest_go_until_nobody_is_left(ready: Database, deferred: bool) -> None:
    """One by one, many at once, and all there are; some have the time of another that stays."""
    ready.execute("""
        insert into public.killmails ("killmailId", "killmailTime", "victimCharacterId", "topAttackerAllianceId")
        select -n, (select max(k."killmailTime") from public.killmails as k), n % 3, 1 from generate_series(1, 6) as n
    """)
    with ready.connect(user=WRITER) as writer:
        if deferred:
            writer.execute("set entity_stats.fold = 'deferred'")
        for rows in (*[1] * 10, 3, 150, 500):
            writer.execute(
                'delete from public.killmails where ("killmailId", "killmailTime") in '
                '(select k."killmailId", k."killmailTime" from public.killmails as k '
                f'order by k."killmailTime" desc, k."killmailId" limit {rows})'
            )
            if deferred and rows != 3:
                fold_pending(ready)
            assert pending(ready) == (3 if deferred and rows == 3 else 0)
            assert_exact(ready)
    assert ready.value('select count(*) from public.entity_stats_cache where "lastKillTime" is not null') == 0


def test_all_of_a_type_and_side_are_looked_up_together(ready: Database) -> None:
    with ready.connect(options="-c track_functions=all") as session:
        session.execute("""
            delete from public.killmails where "killmailId" in (
                select k."killmailId" from public.killmails as k order by k."killmailTime" desc limit 200
            )
        """)
        session.execute("select pg_stat_force_next_flush()")
    calls = ready.value("select calls from pg_stat_user_functions where funcname = 'last_times'")
    assert 1 < calls <= 6
    assert_exact(ready)
