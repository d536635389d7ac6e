-- For whom leaderboards and ranks are. Scope all: everybody, as the cache counts. Scope players: without NPC corporations, and without
-- kills that no player took part in. Of those the cache knows how many they are, not their ISK: whoever has nothing else has
-- destroyed nothing as a player, of the others all ISK counts.
create or replace function entity_stats.in_scope(d entity_stats.delta, scope text)
returns setof entity_stats.stats
language sql stable
begin atomic
    select s.*
    from (
        select
            d."entityType",
            d."entityId",
            d.periods,
            d.kills - o.npc as kills,
            d.losses,
            case when d.kills = o.npc then 0 else d."iskDestroyed" end as "iskDestroyed",
            d."iskLost",
            case when d.kills = o.npc then 0 else d."soloKills" end as "soloKills",
            d."soloLosses",
            d."npcKills",
            d."npcLosses",
            d."lastKillTime",
            d."lastLossTime",
            d."staleKillTime",
            d."staleLossTime"
        from (select case scope when 'players' then d."npcKills" else 0 end as npc) as o
        where scope = 'all' or d."entityType" <> 'corporation' or d."entityId" not between 1000000 and 1999999
    ) as p
    cross join lateral entity_stats.stats(row(p.*)::entity_stats.delta) as s;
end;

comment on function entity_stats.in_scope(entity_stats.delta, text) is
'Stats of an entity in scope all or players; no row: it is not in the scope. No figure is greater in scope players. Inlined into the calling query.';

create or replace function entity_stats.efficient_kills()
returns bigint
language sql immutable
begin atomic
    select 10::bigint;
end;

comment on function entity_stats.efficient_kills() is 'The least kills for a rank by efficiency, and on a list by efficiency unless it is asked for otherwise.';
