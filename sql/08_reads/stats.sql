-- What every read returns: the counters of one entity in one period, with the figures derived from them.
do $$
begin
    if to_regtype('entity_stats.stats') is null then
        create type entity_stats.stats as (
            "entityId" bigint,
            "entityType" text collate "C",
            kills bigint,
            losses bigint,
            "iskDestroyed" numeric,
            "iskLost" numeric,
            efficiency numeric,
            "iskEfficiency" numeric,
            "killLossRatio" numeric,
            "soloKills" bigint,
            "soloLosses" bigint,
            "npcKills" bigint,
            "npcLosses" bigint,
            "lastKillTime" timestamp,
            "lastLossTime" timestamp
        );
    end if;
end
$$;

comment on type entity_stats.stats is 'One entity in one period: counters, ISK, derived figures; times in UTC, all-time in every period.';
comment on column entity_stats.stats.efficiency is '100 * iskDestroyed / (iskDestroyed + iskLost), percent; 0 if both are 0. The same as "iskEfficiency".';
comment on column entity_stats.stats."killLossRatio" is 'kills / losses; kills if there are no losses.';

create or replace function entity_stats.stats(d entity_stats.delta)
returns setof entity_stats.stats
language sql stable
begin atomic
    select
        d."entityId",
        d."entityType",
        d.kills,
        d.losses,
        d."iskDestroyed",
        d."iskLost",
        e.efficiency,
        e.efficiency as "iskEfficiency",
        coalesce(round(d.kills::numeric / nullif(d.losses, 0), 4), d.kills) as "killLossRatio",
        d."soloKills",
        d."soloLosses",
        d."npcKills",
        d."npcLosses",
        d."lastKillTime",
        d."lastLossTime"
    from (select coalesce(round(100 * d."iskDestroyed" / nullif(d."iskDestroyed" + d."iskLost", 0), 4), 0) as efficiency) as e;
end;

comment on function entity_stats.stats(entity_stats.delta) is 'Derives the figures that reads return from counters. Inlined into the calling query.';
