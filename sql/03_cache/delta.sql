-- What to add to an entity's metrics, in which periods, where the killmails themselves are not at hand: what has been counted, or what is
-- wrong. merge() applies it.
do $$
begin
    if to_regtype('entity_stats.delta') is null then
        create type entity_stats.delta as (
            "entityType" text collate "C",
            "entityId" bigint,
            periods integer,
            kills bigint,
            losses bigint,
            "iskDestroyed" numeric,
            "iskLost" numeric,
            "soloKills" bigint,
            "soloLosses" bigint,
            "npcKills" bigint,
            "npcLosses" bigint,
            "lastKillTime" timestamp,
            "lastLossTime" timestamp,
            "staleKillTime" timestamp,
            "staleLossTime" timestamp
        );
    end if;
end
$$;

comment on type entity_stats.delta is 'Signed change of one entity''s metrics (ISK, UTC) in the periods whose window.bit is set.';
comment on column entity_stats.delta."lastKillTime" is 'Newest kill that came.';
comment on column entity_stats.delta."staleKillTime" is 'Newest kill that went: if it was the newest known, the row needs a look at the source.';
