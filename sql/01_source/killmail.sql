-- What the cache needs of one killmail, and nothing else: the only place that names the columns of public.killmails, but for the
-- triggers. A function whose text is looked up when it is run, so that nothing of ours hangs on killmails: the site may rename,
-- retype and drop what it likes. Inlined: whoever reads through it needs the right to read these columns.
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
    npc boolean,
    cents bigint
)
language sql stable parallel safe -- search-path: every name is qualified, and a SET clause would stop inlining
as $$
    select
        k."killmailTime",
        k."topAttackerCharacterId"::bigint,
        k."topAttackerCorporationId"::bigint,
        k."topAttackerAllianceId"::bigint,
        k."victimCharacterId"::bigint,
        k."victimCorporationId"::bigint,
        k."victimAllianceId"::bigint,
        entity_stats.isk(k."totalValue"),
        coalesce(k.solo, false),
        coalesce(k.npc, false),
        entity_stats.cents(k."totalValue")
    from public.killmails as k
$$;

comment on function entity_stats.killmail() is
'The committed killmails as the cache reads them: exact ISK, in cents as well where that is exact, flags without nulls. Inlined into the calling query.';

-- Inlined, as killmail() is. Readers have no right to these columns.
create or replace function entity_stats.stored_killmail()
returns table ("killmailId" bigint, "killmailTime" timestamptz, "totalValue" numeric, usable boolean)
language sql stable parallel safe -- search-path: as above
as $$
    select
        k."killmailId"::bigint,
        k."killmailTime",
        k."totalValue"::numeric,
        coalesce(k."totalValue" >= 0 and k."totalValue" < 'Infinity', false) -- NaN is more than infinity
    from public.killmails as k
$$;

comment on function entity_stats.stored_killmail() is
'The committed killmails as they are stored, for claims about them: ids, times, values, and whether these are finite and not negative. Inlined into the calling query.';
