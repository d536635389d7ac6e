-- Leaderboards without an index on counters, which would cost every update of the cache new index entries (a batch of 20
-- killmails took 25 to 55 % longer). Instead entities are filed by a coarse rank, which changes a few times in an entity's
-- life. A leaderboard reads the file from the top, looks up the live rows, and stops where the rest cannot matter: exact at
-- every moment.
create table if not exists entity_stats.ranked (
    "entityId" bigint not null,
    "entityType" text collate "C" not null,
    periods integer not null,
    rank integer not null,
    primary key ("entityId", "entityType", periods)
);

create index if not exists ranked_in_order on entity_stats.ranked ("entityType", periods, rank, "entityId");

comment on table entity_stats.ranked is
'Entities with 10 kills or more in a period, filed by entity_stats.rank(). Written by triggers of the cache.';
comment on column entity_stats.ranked.periods is 'time_window.bit of one period.';

create or replace function entity_stats.rung(kills bigint)
returns integer
language sql immutable parallel safe
return
width_bucket(
    kills,
    '{10,14,20,28,40,56,80,112,160,224,320,448,640,896,1280,1792,2560,3584,5120,7168,10240,14336,20480,28672,40960,57344,81920,114688,163840,327680,655360,1310720,2621440,5242880}'::bigint[]
);

create or replace function entity_stats.rank(kills bigint, isk_destroyed numeric, isk_lost numeric)
returns integer
language sql immutable parallel safe
return
case
    when kills < 10 then 0
    when isk_destroyed < 99 * isk_lost or isk_destroyed = 0 then entity_stats.rung(kills)
    when isk_destroyed < 1999999 * isk_lost then 64 + entity_stats.rung(kills)
    else 128 + entity_stats.rung(kills)
end;

comment on function entity_stats.rung(bigint) is 'How far up a number of kills is, 1 to 34, and 0 below 10 kills: never less for more kills.';
comment on function entity_stats.rank(bigint, numeric, numeric) is
'Where an entity is filed: its rung, plus 128 for an ISK efficiency that reads show as 100.0000 %, plus 64 from 99 % up; 0 below 10 kills: not filed.';

create or replace function entity_stats.rank_entity()
returns trigger
language plpgsql security definer -- fires for whoever writes the cache
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
as $$
begin
    -- The writer has locked the entity's row in the cache: nobody else is filing this entity.
    delete from entity_stats.ranked as r
    where
        r."entityId" = new."entityId"
        and r."entityType" = new."entityType"
        and r.periods not in (
            select d.periods
            from entity_stats.cached() as d
            where d."entityId" = new."entityId" and d."entityType" = new."entityType" and d.kills >= 10
        );

    insert into entity_stats.ranked as r ("entityId", "entityType", periods, rank)
    select d."entityId", d."entityType", d.periods, entity_stats.rank(d.kills, d."iskDestroyed", d."iskLost")
    from entity_stats.cached() as d
    where d."entityId" = new."entityId" and d."entityType" = new."entityType" and d.kills >= 10
    on conflict ("entityId", "entityType", periods) do update
    set rank = excluded.rank
    where r.rank <> excluded.rank;

    return null;
end
$$;

comment on function entity_stats.rank_entity() is 'Row trigger of the cache: files an entity whose rank has changed.';

do $$
begin
    if not exists (
        select from pg_catalog.pg_trigger as t where t.tgrelid = 'public.entity_stats_cache'::regclass and t.tgname = 'rank_entity'
    ) then
        create trigger rank_new_entity
        after insert on public.entity_stats_cache
        for each row
        when (new."killsAll" >= 10)
        execute function entity_stats.rank_entity();

        create trigger rank_entity
        after update on public.entity_stats_cache
        for each row
        when (
            entity_stats.rank(new."killsAll", new."iskDestroyedAll", new."iskLostAll")
            <> entity_stats.rank(old."killsAll", old."iskDestroyedAll", old."iskLostAll")
            or entity_stats.rank(new."kills90d", new."iskDestroyed90d", new."iskLost90d")
            <> entity_stats.rank(old."kills90d", old."iskDestroyed90d", old."iskLost90d")
            or entity_stats.rank(new."kills30d", new."iskDestroyed30d", new."iskLost30d")
            <> entity_stats.rank(old."kills30d", old."iskDestroyed30d", old."iskLost30d")
            or entity_stats.rank(new."kills14d", new."iskDestroyed14d", new."iskLost14d")
            <> entity_stats.rank(old."kills14d", old."iskDestroyed14d", old."iskLost14d")
        )
        execute function entity_stats.rank_entity();

        -- An upgrade finds a cache that is filled. CREATE TRIGGER holds its writers off until this is committed.
        insert into entity_stats.ranked ("entityId", "entityType", periods, rank)
        select d."entityId", d."entityType", d.periods, entity_stats.rank(d.kills, d."iskDestroyed", d."iskLost")
        from entity_stats.cached() as d
        where d.kills >= 10
        on conflict do nothing;
    end if;
end
$$;

create or replace function entity_stats.ranked(entity_type text, period_bit integer, from_class integer, from_rung integer)
returns setof entity_stats.delta
language sql stable
begin atomic
    select d.*
    from generate_series(ranked.from_class, 2) as class (class)
    inner join entity_stats.ranked as r
        on r.rank >= 64 * class.class + ranked.from_rung and r.rank < 64 * class.class + 64
    inner join entity_stats.cached() as d on r."entityId" = d."entityId" and r."entityType" = d."entityType" and r.periods = d.periods
    where r."entityType" = ranked.entity_type and r.periods = ranked.period_bit and d.periods = ranked.period_bit;
end;

comment on function entity_stats.ranked(text, integer, integer, integer) is
'The live rows of entities that are filed at least that high: in classes from_class to 2 (99 %, 100 % of efficiency), from rung from_rung up. Inlined into the calling query.';

create or replace function entity_stats.rung_of_place(entity_type text, period_bit integer, from_class integer, place bigint)
returns integer
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
    select top.rank % 64 as rung
    from generate_series(rung_of_place.from_class, 2) as class (class)
    cross join
        lateral (
            select r.rank
            from entity_stats.ranked as r
            where
                r."entityType" = rung_of_place.entity_type
                and r.periods = rung_of_place.period_bit
                and r.rank >= 64 * class.class
                and r.rank < 64 * class.class + 64
            order by r.rank desc
            limit rung_of_place.place
        ) as top
    order by top.rank % 64 desc
    limit 1 offset rung_of_place.place - 1;
end;

comment on function entity_stats.rung_of_place(text, integer, integer, bigint) is
'The rung of the entity in that place by kills among those filed in classes from_class to 2; null when there are fewer.';
