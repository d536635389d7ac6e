-- Captures all killmails of one table at once: a partition that is emptied, comes or goes. Bounded, and in READ COMMITTED only:
-- another transaction's snapshot does not show what is there now.
create or replace function entity_stats.capture_table(relation regclass, weight integer)
returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
set row_security = off
as $$
declare
    most constant integer := 50000;
    name constant text := entity_stats.name_of(relation);
    countable boolean := false;
begin
    if current_setting('transaction_isolation') = 'read committed' then
        execute format('select count(*) <= $1 from (select from only %s limit $1 + 1) as k', name)
        into countable
        using most;
    end if;

    if countable then
        execute format(
            'with fact as materialized ('
            '    select row('
            '        $1, k."killmailTime",'
            '        k."topAttackerCharacterId", k."topAttackerCorporationId", k."topAttackerAllianceId",'
            '        k."victimCharacterId", k."victimCorporationId", k."victimAllianceId",'
            '        $1 * entity_stats.isk(k."totalValue"), k.solo, k.npc'
            '    )::entity_stats.fact as fact '
            '    from only %s as k '
            '    where k."killmailTime" is not null'
            ') '
            'insert into entity_stats.ledger (facts, killmails, reason) '
            'select array_agg(f.fact), count(*), entity_stats.pending_reason() from fact as f having count(*) between 1 and 500 '
            'union all '
            'select array[f.fact], 1, coalesce(entity_stats.pending_reason(), ''more than 500 killmails'') '
            'from fact as f where (select count(*) > 500 from fact)',
            name
        )
        using weight;
    end if;

    return countable;
end
$$;

comment on function entity_stats.capture_table(regclass, integer) is
'Writes every killmail of a table to the ledger with a weight, 1 or -1; false, and nothing written, when they are more than 50,000 or the isolation level is not READ COMMITTED.';
