-- Leaderboards without an index on counters, which would cost every update of the cache new index entries (a batch of 20
-- killmails took 25 to 55 % longer). Instead there is a mark for each list, such that about 250 entities are at or over it. Whoever
-- writes a row of the cache that is over a mark files its entity, which nearly always is filed already; who falls below
-- stays filed. A leaderboard reads the live rows of who is filed: exact at every moment, as long as what it returns is over the mark.
create table if not exists entity_stats.mark (
    list integer primary key generated always as identity,
    "entityType" text collate "C" not null,
    periods integer not null,
    kills bigint not null,
    efficiency numeric,
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
'Lists of leaders, two for each entity type and period: by kills, and by ISK efficiency. Made by mark_leaders(); changed under the gate.';
comment on column entity_stats.mark.periods is 'time_window.bit of one period.';
comment on column entity_stats.mark.kills is 'The least kills of who must be on the list.';
comment on column entity_stats.mark.efficiency is 'The least efficiency of who must be on the list, as reads show it; null: a list by kills.';
comment on column entity_stats.mark.ratio is
'ISK destroyed per ISK lost that nobody with that efficiency has less of: compared at every COMMIT, where a division is too slow. Null: any.';
comment on column entity_stats.mark.complete is 'Everybody who must be on the list is; else it is being filled, and nobody reads it.';
comment on table entity_stats.leader is 'Who is on a list: at least all over its mark. Written with the cache, by merge(), and by mark_leaders().';

create or replace function entity_stats.over_mark(c public.entity_stats_cache)
returns setof entity_stats.leader
language sql stable
begin atomic
    select m.list, c."entityId"
    from entity_stats.mark as m
    where
        m."entityType" = c."entityType"
        and m.kills <= case m.periods when 1 then c."killsAll" when 2 then c."kills90d" when 4 then c."kills30d" else c."kills14d" end
        and (
            m.ratio is null
            or case m.periods
                when 1 then c."iskDestroyedAll" >= m.ratio * c."iskLostAll"
                when 2 then c."iskDestroyed90d" >= m.ratio * c."iskLost90d"
                when 4 then c."iskDestroyed30d" >= m.ratio * c."iskLost30d"
                else c."iskDestroyed14d" >= m.ratio * c."iskLost14d"
            end
        );
end;

comment on function entity_stats.over_mark(public.entity_stats_cache) is
'The lists on which an entity must be with that row of the cache. Inlined into the calling query.';
