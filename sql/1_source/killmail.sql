-- What the cache needs of one killmail, and nothing else: the only object that names the columns of public.killmails.
-- A view, because a view reads with its owner's rights: whoever reads through it needs none on killmails. Made once: replacing
-- it would wait for every transaction that is reading it.
do $$
begin
    if to_regclass('entity_stats.killmail') is null then
        create view entity_stats.killmail as
        select
            k."killmailTime",
            k."topAttackerCharacterId"::bigint as "topAttackerCharacterId",
            k."topAttackerCorporationId"::bigint as "topAttackerCorporationId",
            k."topAttackerAllianceId"::bigint as "topAttackerAllianceId",
            k."victimCharacterId"::bigint as "victimCharacterId",
            k."victimCorporationId"::bigint as "victimCorporationId",
            k."victimAllianceId"::bigint as "victimAllianceId",
            entity_stats.isk(k."totalValue") as isk,
            coalesce(k.solo, false) as solo,
            coalesce(k.npc, false) as npc,
            entity_stats.cents(k."totalValue") as cents
        from public.killmails as k;
    end if;
end
$$;

comment on view entity_stats.killmail is 'The committed killmails as the cache reads them: exact ISK, in cents as well where that is exact, flags without nulls.';
