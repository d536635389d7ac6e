"""What the project makes of the site's column types."""

from __future__ import annotations

from tests.fixtures.database import SQL, Database


def test_cents_are_isk_wherever_there_are_any(source: Database) -> None:
    """Of every power of ten and its neighbours, of halves of a cent, of what is no number."""
    source.load(SQL / "deploy.sql")
    wrong = source.fetch(
        """
        select v.value, entity_stats.cents(v.value), entity_stats.isk(v.value)
        from (
            select (10 ^ p * (1 + n / 997.0))::real as value from generate_series(-3, 14) as p, generate_series(0, 997) as n
            union all
            select (n * 0.005)::real from generate_series(-1000, 100000) as n
            union all
            select unnest('{null,NaN,Infinity,-Infinity,-1,3e38}'::real[])
        ) as v
        where entity_stats.cents(v.value) * 0.01 <> entity_stats.isk(v.value)
           or (entity_stats.cents(v.value) is null and v.value between 0 and 9e12)
        """
    )
    assert wrong == []
    assert source.value(
        "select entity_stats.cents(12.34::float8) is null and entity_stats.cents(12.34::numeric) is null"
    )
