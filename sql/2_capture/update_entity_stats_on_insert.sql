-- Captures killmails that arrive: INSERT, COPY, MERGE, the new half of a move between partitions.
-- SECURITY DEFINER: a role that may only write killmails needs no right on the ledger.
create or replace function public.update_entity_stats_on_insert()
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
            1, n."killmailTime",
            coalesce(n."topAttackerCharacterId", 0), coalesce(n."topAttackerCorporationId", 0), coalesce(n."topAttackerAllianceId", 0),
            coalesce(n."victimCharacterId", 0), coalesce(n."victimCorporationId", 0), coalesce(n."victimAllianceId", 0),
            entity_stats.isk(n."totalValue"), coalesce(n.solo, false), coalesce(n.npc, false)
        from arrived as n
        where n."killmailTime" is not null; -- no window has it

        if found then
            perform entity_stats.enlist();
        end if;
    end if;

    return null;
end
$$;

revoke execute on function public.update_entity_stats_on_insert() from public;

comment on function public.update_entity_stats_on_insert() is 'Statement trigger of killmails: writes one fact per inserted killmail to the ledger.';
