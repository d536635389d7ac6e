-- Leaderboards without an index on counters, which would cost every update of the cache new index entries (a batch of 20
-- killmails took 25 to 55 % longer). Instead there is a list for each type and period, with a mark for each metric that about 250
-- entities of players are at or over. A row of the cache says itself which lists it is on: whoever writes one that is over a mark
-- puts it on that list, where it nearly always is already; who falls below stays on it. A leaderboard reads the rows that are on its
-- list: exact at every moment, as long as what it returns is over the mark. Marks are compared with the figures of scope
-- all, which are never less than those of scope players: one comparison serves both.
do $$
begin
    if to_regclass('public.entity_stats_cache_leads') is null then
        create index entity_stats_cache_leads on public.entity_stats_cache ("entityType") where leads <> 0;
    end if;
end
$$;

comment on column public.entity_stats_cache.leads is 'Lists of leaders that the entity is on: entity_stats.mark.list of its type, added up.';

create table if not exists entity_stats.mark (
    "entityType" text collate "C" not null,
    list smallint not null,
    periods integer not null,
    kills bigint not null,
    isk numeric not null,
    solo bigint not null,
    efficiency numeric not null,
    "efficientKills" bigint not null,
    ratio numeric generated always as (
        case when efficiency > 0 then trunc((efficiency - 0.0001) / (100.0001 - efficiency), 6) end
    ) stored,
    drawn xid8 not null default pg_current_xact_id(),
    complete boolean not null default false,
    primary key ("entityType", list)
);

comment on table entity_stats.mark is
'Lists of leaders, one for each entity type and period, and who must be on them. Made by mark_leaders(); changed under the gate.';
comment on column entity_stats.mark.list is 'Bit in entity_stats_cache.leads: that of the period, or 16 times as much, by turns.';
comment on column entity_stats.mark.periods is 'time_window.bit of one period.';
comment on column entity_stats.mark.kills is 'Who has that many kills must be on the list; 1: everybody who has any.';
comment on column entity_stats.mark.isk is 'Who has destroyed that much ISK must be on the list; 0.01: everybody who has any.';
comment on column entity_stats.mark.solo is 'Who has that many solo kills must be on the list; 1: everybody who has any.';
comment on column entity_stats.mark.efficiency is 'Who has that efficiency, as reads show it, and "efficientKills" kills must be on the list.';
comment on column entity_stats.mark.ratio is
'ISK destroyed per ISK lost that nobody with that efficiency has less of: compared at every COMMIT, where a division is too slow. Null: any.';
comment on column entity_stats.mark.drawn is 'Which run of mark_leaders() has made it.';
comment on column entity_stats.mark.complete is 'Everybody who must be on the list is; else it is being filled, and nobody reads it.';

create or replace function entity_stats.over_mark(
    entity_type text,
    kills_all bigint, isk_all numeric, lost_all numeric, solo_all bigint,
    kills_90d bigint, isk_90d numeric, lost_90d numeric, solo_90d bigint,
    kills_30d bigint, isk_30d numeric, lost_30d numeric, solo_30d bigint,
    kills_14d bigint, isk_14d numeric, lost_14d numeric, solo_14d bigint
)
returns table (list smallint)
language sql stable
begin atomic
    select m.list
    from entity_stats.mark as m
    where
        m."entityType" = entity_type
        and case m.periods
            when 1 then kills_all >= m.kills or isk_all >= m.isk or solo_all >= m.solo or (kills_all >= m."efficientKills" and (m.ratio is null or isk_all >= m.ratio * lost_all))
            when 2 then kills_90d >= m.kills or isk_90d >= m.isk or solo_90d >= m.solo or (kills_90d >= m."efficientKills" and (m.ratio is null or isk_90d >= m.ratio * lost_90d))
            when 4 then kills_30d >= m.kills or isk_30d >= m.isk or solo_30d >= m.solo or (kills_30d >= m."efficientKills" and (m.ratio is null or isk_30d >= m.ratio * lost_30d))
            else kills_14d >= m.kills or isk_14d >= m.isk or solo_14d >= m.solo or (kills_14d >= m."efficientKills" and (m.ratio is null or isk_14d >= m.ratio * lost_14d))
        end;
end;

comment on function entity_stats.over_mark(
    text, bigint, numeric, numeric, bigint, bigint, numeric, numeric, bigint, bigint, numeric, numeric, bigint, bigint, numeric, numeric, bigint
) is
'The lists on which an entity of a type must be, with these kills, ISK destroyed and lost, and solo kills in each period. Inlined into the calling query.';

create or replace function entity_stats.over_mark(c public.entity_stats_cache)
returns table (list smallint)
language sql stable
begin atomic
    select o.list
    from entity_stats.over_mark(
        c."entityType",
        c."killsAll", c."iskDestroyedAll", c."iskLostAll", c."soloKillsAll",
        c."kills90d", c."iskDestroyed90d", c."iskLost90d", c."soloKills90d",
        c."kills30d", c."iskDestroyed30d", c."iskLost30d", c."soloKills30d",
        c."kills14d", c."iskDestroyed14d", c."iskLost14d", c."soloKills14d"
    ) as o;
end;

comment on function entity_stats.over_mark(public.entity_stats_cache) is
'The lists on which an entity must be with that row of the cache. Inlined into the calling query.';
