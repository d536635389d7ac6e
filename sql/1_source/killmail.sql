-- What the cache needs of one killmail, and nothing else: the only object that names the columns of public.killmails.
create or replace function entity_stats.killmail()
returns table (
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
)
language sql stable parallel safe
begin atomic
    select
        k."killmailTime",
        k."topAttackerCharacterId",
        k."topAttackerCorporationId",
        k."topAttackerAllianceId",
        k."victimCharacterId",
        k."victimCorporationId",
        k."victimAllianceId",
        entity_stats.isk(k."totalValue") as isk,
        coalesce(k.solo, false) as solo,
        coalesce(k.npc, false) as npc
    from public.killmails as k;
end;

comment on function entity_stats.killmail() is
'The committed killmails as the cache reads them: exact ISK, flags without nulls. Inlined into the calling query.';
