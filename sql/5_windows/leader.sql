-- Leaderboards without an index on counters, which would cost every update of the cache new index entries (a batch of 20
-- killmails took 25 to 55 % longer). Instead there is a list for each type and period, with a mark for each metric that about 250
-- entities of players are at or over. Whoever writes a row of the cache that is over a mark files its entity, which nearly always is
-- filed already; who falls below stays filed. A leaderboard reads the live rows of who is filed: exact at every moment, as long
-- as what it returns is over the mark. Marks are compared with the figures of scope all, which are never less than those of scope
-- players: one comparison serves both.
do $$
begin
    if
        to_regclass('entity_stats.mark') is not null
        and not exists (select from pg_catalog.pg_attribute as a where a.attrelid = to_regclass('entity_stats.mark') and a.attname = 'isk')
    then
        drop table entity_stats.mark cascade; -- of the version that had two lists of each: the next cleanup makes them anew
        delete from entity_stats.leader;
    end if;
end
$$;

create table if not exists entity_stats.mark (
    list integer primary key generated always as identity,
    "entityType" text collate "C" not null,
    periods integer not null,
    kills bigint not null,
    isk numeric not null,
    solo bigint not null,
    efficiency numeric not null,
    "efficientKills" bigint not null,
    ratio numeric generated always as (
        case when efficiency > 0 then trunc((efficiency - 0.0001) / (100.0001 - efficiency), 6) end
    ) stored,
    complete boolean not null default false
);

create table if not exists entity_stats.leader (
    list integer not null,
    "entityId" bigint not null,
    primary key (list, "entityId")
);

comment on table entity_stats.mark is
'Lists of leaders, one for each entity type and period, and who must be on them. Made by mark_leaders(); changed under the gate.';
comment on column entity_stats.mark.periods is 'time_window.bit of one period.';
comment on column entity_stats.mark.kills is 'Who has that many kills must be on the list; 1: everybody who has any.';
comment on column entity_stats.mark.isk is 'Who has destroyed that much ISK must be on the list; 0.01: everybody who has any.';
comment on column entity_stats.mark.solo is 'Who has that many solo kills must be on the list; 1: everybody who has any.';
comment on column entity_stats.mark.efficiency is 'Who has that efficiency, as reads show it, and "efficientKills" kills must be on the list.';
comment on column entity_stats.mark.ratio is
'ISK destroyed per ISK lost that nobody with that efficiency has less of: compared at every COMMIT, where a division is too slow. Null: any.';
comment on column entity_stats.mark.complete is 'Everybody who must be on the list is; else it is being filled, and nobody reads it.';
comment on table entity_stats.leader is 'Who is on a list: at least all over its marks. Written with the cache, by merge(), and by mark_leaders().';

create or replace function entity_stats.over_mark(c public.entity_stats_cache)
returns setof entity_stats.leader
language sql stable
begin atomic
    select m.list, c."entityId"
    from entity_stats.mark as m
    where
        m."entityType" = c."entityType"
        and case m.periods
            when 1 then c."killsAll" >= m.kills or c."iskDestroyedAll" >= m.isk or c."soloKillsAll" >= m.solo or (c."killsAll" >= m."efficientKills" and (m.ratio is null or c."iskDestroyedAll" >= m.ratio * c."iskLostAll"))
            when 2 then c."kills90d" >= m.kills or c."iskDestroyed90d" >= m.isk or c."soloKills90d" >= m.solo or (c."kills90d" >= m."efficientKills" and (m.ratio is null or c."iskDestroyed90d" >= m.ratio * c."iskLost90d"))
            when 4 then c."kills30d" >= m.kills or c."iskDestroyed30d" >= m.isk or c."soloKills30d" >= m.solo or (c."kills30d" >= m."efficientKills" and (m.ratio is null or c."iskDestroyed30d" >= m.ratio * c."iskLost30d"))
            else c."kills14d" >= m.kills or c."iskDestroyed14d" >= m.isk or c."soloKills14d" >= m.solo or (c."kills14d" >= m."efficientKills" and (m.ratio is null or c."iskDestroyed14d" >= m.ratio * c."iskLost14d"))
        end;
end;

comment on function entity_stats.over_mark(public.entity_stats_cache) is
'The lists on which an entity must be with that row of the cache. Inlined into the calling query.';
