-- Leaderboards without an index on counters, which would cost every update of the cache new index entries (a batch of 20
-- killmails took 25 to 55 % longer). Instead entities are filed by a coarse rank, which changes a few times in an entity's
-- life. A leaderboard reads the file from the top, looks up the live rows, and stops where the rest cannot matter: exact at
-- every moment. merge() files what it writes, knowing the rank that it was filed under: one index is enough.
create table if not exists entity_stats.ranked (
    "entityId" bigint not null,
    "entityType" text collate "C" not null,
    periods integer not null,
    rank integer not null,
    primary key ("entityType", periods, rank, "entityId")
);

do $$
begin
    -- Of the version that looked entities up by id.
    if to_regclass('entity_stats.ranked_in_order') is not null then
        alter table entity_stats.ranked drop constraint ranked_pkey, add primary key ("entityType", periods, rank, "entityId");
        drop index entity_stats.ranked_in_order;
    end if;
end
$$;

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
    else
        entity_stats.rung(kills)
        + case
            when isk_destroyed < 99 * isk_lost or isk_destroyed = 0 then 0
            when isk_destroyed < 1999999 * isk_lost then 64
            else 128
        end
end;

comment on function entity_stats.rung(bigint) is 'How far up a number of kills is, 1 to 34, and 0 below 10 kills: never less for more kills.';
comment on function entity_stats.rank(bigint, numeric, numeric) is
'Where an entity is filed: its rung, plus 128 for an ISK efficiency that reads show as 100.0000 %, plus 64 from 99 % up; 0 below 10 kills: not filed.';

create or replace function entity_stats.ranks()
returns setof entity_stats.ranked
language sql stable
begin atomic
    select c."entityId", c."entityType", c.periods, entity_stats.rank(c.kills, c."iskDestroyed", c."iskLost") as rank
    from entity_stats.cached() as c;
end;

comment on function entity_stats.ranks() is
'What the file must hold, and rank 0 for who is not filed. Inlined into the calling query. merge() files what crosses from rank to rank; builds and recalculation file what is here.';

create or replace function entity_stats.file_cache()
returns void
language sql
set search_path = pg_catalog, pg_temp
begin atomic
    insert into entity_stats.ranked ("entityId", "entityType", periods, rank)
    select r."entityId", r."entityType", r.periods, r.rank
    from entity_stats.ranks() as r
    where r.rank > 0
    order by r."entityType", r.periods, r.rank, r."entityId"; -- the order of the index
end;

comment on function entity_stats.file_cache() is 'Files the whole cache; the file must be empty, and the cache must have no other writer.';

create or replace function entity_stats.misfiled()
returns table ("entityId" bigint, "entityType" text, periods integer, rank integer, "actualRank" integer)
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
    select
        coalesce(c."entityId", r."entityId") as "entityId",
        coalesce(c."entityType", r."entityType") as "entityType",
        coalesce(c.periods, r.periods) as periods,
        r.rank,
        c.rank as "actualRank"
    from (select n.* from entity_stats.ranks() as n where n.rank > 0) as c
    full join entity_stats.ranked as r on c."entityId" = r."entityId" and c."entityType" = r."entityType" and c.periods = r.periods
    where r.rank is distinct from c.rank;
end;

comment on function entity_stats.misfiled() is
'Entities whose rank in the file, or null, is not actualRank, that of their row in the cache, or null. Reads the whole cache.';

-- The index has the rank before the entity: all ranks, 64 in each class, are looked up.
create or replace function entity_stats.refile(entity_type text, entity_ids bigint[])
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan
as $$
begin
    -- First, in a statement of its own: nobody else is filing them from here on.
    perform
    from public.entity_stats_cache as c
    where c."entityType" = refile.entity_type and c."entityId" = any(refile.entity_ids)
    order by c."entityId"
    for update;

    delete from entity_stats.ranked as r
    where
        r."entityType" = refile.entity_type
        and r.periods = any(array(select w.bit from entity_stats.time_window as w))
        and r.rank = any(array(select n from generate_series(1, 191) as n))
        and r."entityId" = any(refile.entity_ids);

    insert into entity_stats.ranked
    select r.*
    from entity_stats.ranks() as r
    where r."entityType" = refile.entity_type and r."entityId" = any(refile.entity_ids) and r.rank > 0;
end
$$;

comment on function entity_stats.refile(text, bigint[]) is
'Files entities of a type anew, whatever the file had of them: for those that somebody else than merge() has changed.';
