-- Captures TRUNCATE. A partition of bounded size is enumerated like a DELETE; anything bigger, and the whole table, ends
-- the cache's readiness with a reason: readers fall back to the views until the next backfill. So does a transaction with a
-- snapshot of its own, because TRUNCATE also removes killmails that are not in it.
-- SECURITY DEFINER: a role that may only write killmails needs no right on the ledger.
create or replace function entity_stats.capture_truncate()
returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    enumerable constant integer := 50000;
    countable boolean := false;
begin
    if not entity_stats.captures(tg_relid) then
        return null;
    end if;

    if tg_relid <> 'public.killmails'::regclass and current_setting('transaction_isolation') = 'read committed' then
        execute format('select count(*) <= $1 from (select from only %s limit $1 + 1) as k', tg_relid::regclass)
        into countable
        using enumerable;
    end if;

    if not countable then
        insert into entity_stats.invalidation (reason)
        values (format('TRUNCATE of %s', tg_relid::regclass));
    else
        execute format(
            'insert into entity_stats.ledger ('
            '    weight, "killmailTime", "topAttackerCharacterId", "topAttackerCorporationId", "topAttackerAllianceId",'
            '    "victimCharacterId", "victimCorporationId", "victimAllianceId", isk, solo, npc'
            ') '
            'select -1, o."killmailTime",'
            '    coalesce(o."topAttackerCharacterId", 0), coalesce(o."topAttackerCorporationId", 0), coalesce(o."topAttackerAllianceId", 0),'
            '    coalesce(o."victimCharacterId", 0), coalesce(o."victimCorporationId", 0), coalesce(o."victimAllianceId", 0),'
            '    - entity_stats.isk(o."totalValue"), coalesce(o.solo, false), coalesce(o.npc, false) '
            'from only %s as o '
            'where o."killmailTime" is not null',
            tg_relid::regclass
        );
        perform entity_stats.enlist();
    end if;

    return null;
end
$$;

comment on function entity_stats.capture_truncate() is 'Statement trigger of killmails, before TRUNCATE: negative facts for a small partition in READ COMMITTED, else an invalidation.';
