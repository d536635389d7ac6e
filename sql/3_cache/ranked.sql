-- Leaderboards without an index on counters, which would cost every update of the cache new index entries (a batch of 20
-- killmails took 25 to 55 % longer). Instead entities are filed by a coarse rank, which changes a few times in an entity's
-- life. A leaderboard reads the file from the top, looks up the live rows, and stops where the rest cannot matter: exact at
-- every moment. merge() files what it writes: as a row trigger of the cache, filing took as long as the upsert itself.
create table if not exists entity_stats.ranked (
    "entityId" bigint not null,
    "entityType" text collate "C" not null,
    periods integer not null,
    rank integer not null,
    primary key ("entityId", "entityType", periods)
);

create index if not exists ranked_in_order on entity_stats.ranked ("entityType", periods, rank, "entityId");

comment on table entity_stats.ranked is
'Entities with 10 kills or more in a period, filed by entity_stats.rank(). Written with the cache, by merge().';
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

-- The entities' rows in the cache are locked by the caller: nobody else is filing them.
create or replace function entity_stats.file_ranks(ranks entity_stats.ranked[])
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
as $$
begin
    insert into entity_stats.ranked as r
    select n.*
    from unnest(ranks) as n
    where
        n.rank > 0
        and n.rank is distinct from (
            select f.rank
            from entity_stats.ranked as f
            where f."entityId" = n."entityId" and f."entityType" = n."entityType" and f.periods = n.periods
        )
    on conflict ("entityId", "entityType", periods) do update
    set rank = excluded.rank;

    if exists (select from unnest(ranks) as n where n.rank = 0) then
        delete from entity_stats.ranked as r
        where
            r.ctid = any(
                array(
                    select (
                        select f.ctid
                        from entity_stats.ranked as f
                        where f."entityId" = n."entityId" and f."entityType" = n."entityType" and f.periods = n.periods
                    )
                    from unnest(ranks) as n
                    where n.rank = 0
                )
            );
    end if;
end
$$;

comment on function entity_stats.file_ranks(entity_stats.ranked[]) is
'Files entities whose rows in the cache this transaction has locked; takes those of rank 0 off the file.';

create or replace function entity_stats.ranks()
returns setof entity_stats.ranked
language sql stable
begin atomic
    select c."entityId", c."entityType", c.periods, entity_stats.rank(c.kills, c."iskDestroyed", c."iskLost") as rank
    from entity_stats.cached() as c;
end;

comment on function entity_stats.ranks() is
'What the file must hold, and rank 0 for who is not filed. Inlined into the calling query. merge() files what crosses from rank to rank; builds and recalculation file what they find here.';

create or replace function entity_stats.file_cache()
returns void
language sql
set search_path = pg_catalog, pg_temp
begin atomic
    insert into entity_stats.ranked ("entityId", "entityType", periods, rank)
    select r."entityId", r."entityType", r.periods, r.rank
    from entity_stats.ranks() as r
    where r.rank > 0;
end;

comment on function entity_stats.file_cache() is 'Files the whole cache; the file must be empty, and the cache must have no other writer.';
