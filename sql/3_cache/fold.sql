-- Takes facts out of the ledger and applies them to the cache: its own transaction's at COMMIT, left-over ones on the way.
create or replace function entity_stats.fold(own xid8, most integer)
returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set jit = off
as $$
declare
    now_state entity_stats.state;
    leftover xid8;
    facts entity_stats.ledger [];
begin
    -- The gate first, state and cutoffs in later statements: whoever moves them holds it exclusively.
    lock table entity_stats.gate in row share mode;
    select s.* into now_state from entity_stats.state as s;

    if now_state.status = 'empty' or exists (select from entity_stats.invalidation) then
        delete from entity_stats.ledger as l where l.xid = own and not l.folded;
        delete from entity_stats.parked as p where p.xid = own;
        return 0;
    elsif not now_state.folding then
        return null;
    end if;

    facts := entity_stats.take(own, most, now_state.retaining);

    -- Left-over facts must not wait for the clock: take along as many as we bring ourselves, so that nobody's COMMIT more
    -- than doubles.
    if cardinality(facts) > 0 then
        select p.xid into leftover
        from entity_stats.parked as p
        where p.xid <> own
        limit 1
        for update skip locked;

        if found then
            facts := facts || entity_stats.take(leftover, cardinality(facts), now_state.retaining);
            if not exists (select from entity_stats.ledger as l where l.xid = leftover and not l.folded) then
                delete from entity_stats.parked as p where p.xid = leftover;
            end if;
        end if;
    end if;

    perform entity_stats.merge(array(select d from entity_stats.deltas(facts) as d));

    return cardinality(facts);
end
$$;

comment on function entity_stats.fold(xid8, integer) is
'Folds at most most facts of transaction own, and up to as many left-over ones; returns how many, 0 and drops them while the cache is empty, null and leaves them during the first part of a backfill.';

create or replace function entity_stats.take(owner xid8, most integer, retaining boolean)
returns entity_stats.ledger[]
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    facts entity_stats.ledger [];
begin
    with taken as (
        delete from entity_stats.ledger as l
        where
            l.xid = owner
            and l.fact = any(
                array(
                    select e.fact
                    from entity_stats.ledger as e
                    where e.xid = owner and not e.folded
                    order by e.fact
                    limit most
                )
            )
        returning l.*
    ),

    kept as (
        insert into entity_stats.ledger (
            xid, weight, "killmailTime", "topAttackerCharacterId", "topAttackerCorporationId", "topAttackerAllianceId",
            "victimCharacterId", "victimCorporationId", "victimAllianceId", isk, solo, npc, folded
        )
        select
            t.xid, t.weight, t."killmailTime", t."topAttackerCharacterId", t."topAttackerCorporationId", t."topAttackerAllianceId",
            t."victimCharacterId", t."victimCorporationId", t."victimAllianceId", t.isk, t.solo, t.npc, true
        from taken as t
        where retaining and not t.absorbed
    )

    select coalesce(array_agg(row(t.*)::entity_stats.ledger), '{}')
    into facts
    from taken as t;

    return facts;
end
$$;

comment on function entity_stats.take(xid8, integer, boolean) is
'Takes at most most unfolded facts of one transaction out of the ledger; while a build is retaining, a copy marked as folded stays.';
