-- Captures killmails that change. Old and new halves cancel out where nothing that we count changed: a new price becomes
-- one fact of weight 0, an unrelated column none at all.
-- SECURITY DEFINER: a role that may only write killmails needs no right on the ledger.
create or replace function entity_stats.capture_update()
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
            sum(half.sign), half."killmailTime",
            coalesce(half."topAttackerCharacterId", 0), coalesce(half."topAttackerCorporationId", 0), coalesce(half."topAttackerAllianceId", 0),
            coalesce(half."victimCharacterId", 0), coalesce(half."victimCorporationId", 0), coalesce(half."victimAllianceId", 0),
            sum(half.sign * entity_stats.isk(half."totalValue")), coalesce(half.solo, false), coalesce(half.npc, false)
        from (
            select 1 as sign, n.* from arrived as n
            union all
            select -1 as sign, o.* from gone as o
        ) as half
        where half."killmailTime" is not null -- no window has it
        group by 2, 3, 4, 5, 6, 7, 8, 10, 11
        having sum(half.sign) <> 0 or sum(half.sign * entity_stats.isk(half."totalValue")) <> 0;

        if found then
            perform entity_stats.enlist();
        end if;
    end if;

    return null;
end
$$;

comment on function entity_stats.capture_update() is 'Statement trigger of killmails: writes the difference between updated killmails and what they were to the ledger.';
