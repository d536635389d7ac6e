-- What is missing in the cache, or too much: truth minus what is pending minus what is cached, per entity and period.
-- Deltas that merge() can apply as they are: finish and recalculation write them, differences() shows them.
-- Inlined, so that a filter on type and id reaches the source's indexes.
create or replace function entity_stats.drift(staging boolean)
returns setof entity_stats.delta
language sql stable
begin atomic
    select
        e."entityType",
        e."entityId",
        e.periods,
        e.kills,
        e.losses,
        e."iskDestroyed",
        e."iskLost",
        e."soloKills",
        e."soloLosses",
        e."npcKills",
        e."npcLosses",
        e."trueKillTime" as "lastKillTime",
        e."trueLossTime" as "lastLossTime",
        case when e."killTimeDrifts" then greatest(e."trueStaleKillTime", e."cachedKillTime") else e."trueStaleKillTime" end as "staleKillTime",
        case when e."lossTimeDrifts" then greatest(e."trueStaleLossTime", e."cachedLossTime") else e."trueStaleLossTime" end as "staleLossTime"
    from (
        select
            s.*,
            -- A pending fact may still raise the cached time, a pending deletion may still lower it.
            (
                s."trueKillTime" is distinct from s."cachedKillTime"
                and not coalesce(
                    case
                        when s."trueKillTime" > s."cachedKillTime" or s."cachedKillTime" is null then s."pendingKillTime" >= s."trueKillTime"
                        else s."pendingStaleKillTime" >= s."cachedKillTime"
                    end,
                    false
                )
            ) as "killTimeDrifts",
            (
                s."trueLossTime" is distinct from s."cachedLossTime"
                and not coalesce(
                    case
                        when s."trueLossTime" > s."cachedLossTime" or s."cachedLossTime" is null then s."pendingLossTime" >= s."trueLossTime"
                        else s."pendingStaleLossTime" >= s."cachedLossTime"
                    end,
                    false
                )
            ) as "lossTimeDrifts"
        from (
            select
                d."entityType",
                d."entityId",
                d.periods,
                sum(d.sign * d.kills)::bigint as kills,
                sum(d.sign * d.losses)::bigint as losses,
                sum(d.sign * d."iskDestroyed") as "iskDestroyed",
                sum(d.sign * d."iskLost") as "iskLost",
                sum(d.sign * d."soloKills")::bigint as "soloKills",
                sum(d.sign * d."soloLosses")::bigint as "soloLosses",
                sum(d.sign * d."npcKills")::bigint as "npcKills",
                sum(d.sign * d."npcLosses")::bigint as "npcLosses",
                max(d."lastKillTime") filter (where d.part = 'truth' and d.periods = 1) as "trueKillTime",
                max(d."lastLossTime") filter (where d.part = 'truth' and d.periods = 1) as "trueLossTime",
                max(d."staleKillTime") filter (where d.part = 'truth' and d.periods = 1) as "trueStaleKillTime",
                max(d."staleLossTime") filter (where d.part = 'truth' and d.periods = 1) as "trueStaleLossTime",
                max(d."lastKillTime") filter (where d.part = 'pending' and d.periods = 1) as "pendingKillTime",
                max(d."lastLossTime") filter (where d.part = 'pending' and d.periods = 1) as "pendingLossTime",
                max(d."staleKillTime") filter (where d.part = 'pending' and d.periods = 1) as "pendingStaleKillTime",
                max(d."staleLossTime") filter (where d.part = 'pending' and d.periods = 1) as "pendingStaleLossTime",
                max(d."lastKillTime") filter (where d.part = 'cached' and d.periods = 1) as "cachedKillTime",
                max(d."lastLossTime") filter (where d.part = 'cached' and d.periods = 1) as "cachedLossTime"
            from (
                select 1 as sign, 'truth' as part, t.* from entity_stats.truth() as t where not staging
                union all
                select 1 as sign, 'truth' as part, s.* from entity_stats.staged as s where staging
                union all
                select -1 as sign, 'pending' as part, p.* from entity_stats.pending(staging) as p
                union all
                select -1 as sign, 'cached' as part, c.* from entity_stats.cached() as c
            ) as d
            group by d."entityType", d."entityId", d.periods
        ) as s
    ) as e
    where
        (e.kills, e.losses, e."iskDestroyed", e."iskLost", e."soloKills", e."soloLosses", e."npcKills", e."npcLosses")
        <> (0, 0, 0, 0, 0, 0, 0, 0)
        or e."killTimeDrifts"
        or e."lossTimeDrifts"
        or e."trueStaleKillTime" is not null
        or e."trueStaleLossTime" is not null;
end;

comment on function entity_stats.drift(boolean) is
'Deltas that turn the cached rows into truth minus pending; no row where they agree. staging: truth as a running build staged it, else as the source has it.';
