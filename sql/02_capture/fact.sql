-- The fact: one killmail that came, went or changed its price, with a sign. Everything that changes the cache begins as facts.
do $$
begin
    if to_regtype('entity_stats.fact') is null then
        create type entity_stats.fact as (
            weight integer,
            "killmailTime" timestamptz,
            "topAttackerCharacterId" bigint,
            "topAttackerCorporationId" bigint,
            "topAttackerAllianceId" bigint,
            "victimCharacterId" bigint,
            "victimCorporationId" bigint,
            "victimAllianceId" bigint,
            isk numeric,
            solo boolean,
            npc boolean
        );
    end if;
end
$$;

comment on type entity_stats.fact is 'A signed change of killmails. Ids of nobody may be null or 0, flags null for false.';
comment on column entity_stats.fact.weight is '1: a killmail came, -1: it went, 0: only its ISK changed.';
comment on column entity_stats.fact.isk is 'Signed ISK: what the killmail adds to the sums.';
