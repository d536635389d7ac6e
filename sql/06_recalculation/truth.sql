-- The source, aggregated per period with the stored cutoffs: what every row of the cache must amount to.
create or replace function entity_stats.truth()
returns setof entity_stats.delta
language sql stable
begin atomic
    select
        t."entityType", t."entityId", w.bit as periods, t.kills, t.losses, t."iskDestroyed", t."iskLost",
        t."soloKills", t."soloLosses", t."npcKills", t."npcLosses", t."lastKillTime", t."lastLossTime",
        null::timestamp as "staleKillTime", null::timestamp as "staleLossTime"
    from entity_stats.time_window as w
    cross join lateral entity_stats.totals(w.cutoff, null) as t;
end;

comment on function entity_stats.truth() is 'Totals of the source per entity and period, with the stored cutoffs. Inlined into the calling query.';
