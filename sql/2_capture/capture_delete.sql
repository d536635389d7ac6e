-- Captures killmails that go: DELETE, the old half of a move between partitions.
-- SECURITY DEFINER: a role that may only write killmails needs no right on the ledger.
create or replace function entity_stats.capture_delete()
returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    if entity_stats.captures(tg_relid) then
        insert into entity_stats.ledger (
            weight, "killmailTime", "topAttackerCharacterId", "topAttackerCorporationId", "topAttackerAllianceId",
            "victimCharacterId", "victimCorporationId", "victimAllianceId", isk, solo, npc
        )
        select
            -1, o."killmailTime",
            coalesce(o."topAttackerCharacterId", 0), coalesce(o."topAttackerCorporationId", 0), coalesce(o."topAttackerAllianceId", 0),
            coalesce(o."victimCharacterId", 0), coalesce(o."victimCorporationId", 0), coalesce(o."victimAllianceId", 0),
            - entity_stats.isk(o."totalValue"), coalesce(o.solo, false), coalesce(o.npc, false)
        from gone as o
        where o."killmailTime" is not null; -- no window has it

        if found then
            perform entity_stats.enlist();
        end if;
    end if;

    return null;
end
$$;

comment on function entity_stats.capture_delete() is 'Statement trigger of killmails: writes one negative fact per deleted killmail to the ledger.';
