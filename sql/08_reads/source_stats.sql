-- The same figures straight from killmails, with the stored cutoffs: what the views show, and pages until the cache is ready.
create or replace function entity_stats.source_stats(entity_type text)
returns table (period text, stats entity_stats.stats)
language sql stable
begin atomic
    select w.period, s as stats
    from (
        select
            t."entityType", t."entityId", t.periods, t.kills, t.losses, t."iskDestroyed", t."iskLost",
            t."soloKills", t."soloLosses", t."npcKills", t."npcLosses",
            max(t."lastKillTime") over entity as "lastKillTime",
            max(t."lastLossTime") over entity as "lastLossTime",
            t."staleKillTime", t."staleLossTime"
        from entity_stats.truth() as t
        where t."entityType" = entity_type
        window entity as (partition by t."entityId")
    ) as d
    inner join entity_stats.time_window as w on d.periods = w.bit
    cross join lateral entity_stats.stats(row(d.*)::entity_stats.delta) as s;
end;

comment on function entity_stats.source_stats(text) is
'Stats of the entities of one type in each period in which they have killmails, from the source. Inlined: filter by entity to use its indexes.';
