-- Captures all killmails of a table at once, as coming (weight 1) or going (-1), when they are few and nobody else can change them:
-- the caller holds the table exclusively. In READ COMMITTED only: an older snapshot does not see them all.
create or replace function entity_stats.capture_table(relation regclass, weight integer)
returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
set row_security = off
as $$
declare
    most constant integer := 50000;
    captured bigint;
    countable boolean;
begin
    if current_setting('transaction_isolation') <> 'read committed' then
        return false;
    end if;

    execute format('select count(*) <= $1 from (select from only %s limit $1 + 1) as k', relation)
    into countable
    using most;

    if countable then
        execute format(
            'insert into entity_stats.ledger ('
            '    weight, "killmailTime", "topAttackerCharacterId", "topAttackerCorporationId", "topAttackerAllianceId",'
            '    "victimCharacterId", "victimCorporationId", "victimAllianceId", isk, solo, npc'
            ') '
            'select $1, o."killmailTime",'
            '    coalesce(o."topAttackerCharacterId", 0), coalesce(o."topAttackerCorporationId", 0), coalesce(o."topAttackerAllianceId", 0),'
            '    coalesce(o."victimCharacterId", 0), coalesce(o."victimCorporationId", 0), coalesce(o."victimAllianceId", 0),'
            '    $1 * entity_stats.isk(o."totalValue"), coalesce(o.solo, false), coalesce(o.npc, false) '
            'from only %s as o '
            'where o."killmailTime" is not null',
            relation
        )
        using weight;
        get diagnostics captured = row_count;
        if captured > 0 then
            perform entity_stats.enlist();
        end if;
    end if;

    return countable;
end
$$;

comment on function entity_stats.capture_table(regclass, integer) is
'Writes one fact of that weight per killmail of a table to the ledger; false, and none, when there are more than 50,000, or the snapshot is not that of the statement.';
