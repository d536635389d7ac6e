-- Ranks of everybody, made every night from the rows of the cache as they are then, with the rank of the day before beside each.
-- A type and period at a time, in a transaction of its own: readers see the ranks of before, then the new ones. Every row
-- is written anew in its own place, for which each page keeps room, so that the table stays as big as it is.
create table if not exists entity_stats.ranking (
    "entityType" text collate "C" not null,
    period text collate "C" not null,
    "asOf" timestamptz not null,
    "asOfBefore" timestamptz,
    settled xid8 not null,
    entities integer not null,
    efficient integer not null,
    primary key ("entityType", period)
);

create table if not exists entity_stats.rank (
    "entityType" text collate "C" not null,
    period text collate "C" not null,
    "entityId" bigint not null,
    "killsRank" integer not null,
    "iskRank" integer not null,
    "efficiencyRank" integer,
    "killsRankBefore" integer,
    "iskRankBefore" integer,
    "efficiencyRankBefore" integer,
    kills bigint not null,
    isk numeric not null,
    efficiency numeric not null,
    primary key ("entityType", period, "entityId")
) with (fillfactor = 45);

comment on table entity_stats.ranking is 'When the ranks of a type and period were made, and of how many entities. Written by rank_entities() only.';
comment on column entity_stats.ranking."asOf" is 'When the ranks were made, UTC.';
comment on column entity_stats.ranking."asOfBefore" is 'When the ranks were made that are beside them: on an earlier day, UTC.';
comment on column entity_stats.ranking.settled is 'All transactions before this one had ended: what they wrote to the cache was ranked.';
comment on column entity_stats.ranking.entities is 'Entities that have ranks by kills and by ISK: all that have kills or losses in the period.';
comment on column entity_stats.ranking.efficient is 'Entities that have a rank by efficiency: those with efficient_kills() kills or more.';
comment on table entity_stats.rank is
'Ranks in scope players within a type and period, 1 the best; who has the same figure has the same rank, and the next rank is left out (1, 2, 2, 4).';
comment on column entity_stats.rank."killsRankBefore" is 'The rank of the day before; null: none.';
comment on column entity_stats.rank.kills is 'What was ranked, in scope players.';
comment on column entity_stats.rank.isk is 'ISK destroyed, in scope players.';

create or replace function entity_stats.rank_list(entity_type text, period text, as_of timestamptz)
returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
set jit = off
set work_mem = '64MB'
set enable_nestloop = off -- all of a list is joined, whatever the planner knows of it
as $$
declare
    bit constant integer := entity_stats.period_bit(entity_type, period);
    -- The same day ranked again keeps the ranks of the day before.
    another_day boolean;
    entities integer;
begin
    -- One at a time. The statement that ranks begins after this, and so sees what the one before has written.
    lock table entity_stats.ranking in share row exclusive mode;

    select (r."asOf" at time zone 'UTC')::date <> (as_of at time zone 'UTC')::date into another_day
    from entity_stats.ranking as r
    where r."entityType" = rank_list.entity_type and r.period = rank_list.period;

    with active as materialized (
        select
            s."entityId",
            s.kills,
            s."iskDestroyed" as isk,
            s.efficiency,
            rank() over (order by s.kills desc) as "killsRank",
            rank() over (order by s."iskDestroyed" desc) as "iskRank"
        from entity_stats.cached() as d
        cross join lateral entity_stats.in_scope(d, 'players') as s
        where d."entityType" = rank_list.entity_type and d.periods = bit and (s.kills > 0 or s.losses > 0)
    ),

    ranked as materialized (
        select a.*, e."efficiencyRank"
        from active as a
        left join (
            select f."entityId", rank() over (order by f.efficiency desc) as "efficiencyRank"
            from active as f
            where f.kills >= entity_stats.efficient_kills()
        ) as e
            on a."entityId" = e."entityId"
    ),

    gone as (
        delete from entity_stats.rank as r
        where
            r."entityType" = rank_list.entity_type
            and r.period = rank_list.period
            and not exists (select from ranked as n where n."entityId" = r."entityId")
    ),

    come as (
        insert into entity_stats.rank ("entityType", period, "entityId", "killsRank", "iskRank", "efficiencyRank", kills, isk, efficiency)
        select
            rank_list.entity_type, rank_list.period, n."entityId", n."killsRank", n."iskRank", n."efficiencyRank", n.kills, n.isk, n.efficiency
        from ranked as n
        where
            not exists (
                select
                from entity_stats.rank as r
                where r."entityType" = rank_list.entity_type and r.period = rank_list.period and r."entityId" = n."entityId"
            )
        order by n."entityId"
    ),

    stayed as (
        update entity_stats.rank as r
        set
            "killsRank" = n."killsRank",
            "iskRank" = n."iskRank",
            "efficiencyRank" = n."efficiencyRank",
            "killsRankBefore" = case when another_day then r."killsRank" else r."killsRankBefore" end,
            "iskRankBefore" = case when another_day then r."iskRank" else r."iskRankBefore" end,
            "efficiencyRankBefore" = case when another_day then r."efficiencyRank" else r."efficiencyRankBefore" end,
            kills = n.kills,
            isk = n.isk,
            efficiency = n.efficiency
        from ranked as n
        where r."entityType" = rank_list.entity_type and r.period = rank_list.period and r."entityId" = n."entityId"
    )

    insert into entity_stats.ranking as r ("entityType", period, "asOf", settled, entities, efficient)
    select rank_list.entity_type, rank_list.period, rank_list.as_of, pg_snapshot_xmin(pg_current_snapshot()), count(*), count(n."efficiencyRank")
    from ranked as n
    on conflict on constraint ranking_pkey do update
    set
        "asOf" = excluded."asOf",
        "asOfBefore" = case when another_day then r."asOf" else r."asOfBefore" end,
        settled = excluded.settled,
        entities = excluded.entities,
        efficient = excluded.efficient
    returning r.entities into entities;

    return entities;
end
$$;

comment on function entity_stats.rank_list(text, text, timestamptz) is
'Ranks the entities of a type in a period anew, as of a moment (UTC); returns how many there are.';

create or replace procedure entity_stats.rank_entities(as_of timestamptz default null)
language plpgsql
as $$
declare
    at_time constant timestamptz := entity_stats.require_past(as_of);
    todo record;
    ranked bigint := 0;
begin
    call entity_stats.require_autocommit('rank_entities');
    perform entity_stats.require_read_committed('rank_entities');
    if not public.is_stats_cache_populated() then
        raise notice 'The cache is not ready: nobody is ranked';
        return;
    end if;

    for todo in
        select e.type, w.period
        from entity_stats.time_window as w
        cross join unnest('{character,corporation,alliance}'::text[]) as e (type)
    loop
        ranked := ranked + entity_stats.rank_list(todo.type, todo.period, at_time);
        commit;
    end loop;

    raise notice 'Gave % ranks', pg_catalog.to_char(ranked, 'FM999,999,999,990');
end
$$;

comment on procedure entity_stats.rank_entities (timestamptz) is
'Ranks all entities in every period as of a moment (UTC, default now), beside their ranks of the day before, while the cache is read and written: the nightly cleanup does. Call it with autocommit.';
