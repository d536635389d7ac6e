-- Takes facts out of the ledger and applies them to the cache: its own transaction's at COMMIT, left-over ones on the way.
create or replace function entity_stats.fold(own xid8, leftover xid8, most integer, whole boolean default false)
returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off -- would look at all facts of a big transaction before it takes the first
set jit = off
set plan_cache_mode = force_generic_plan -- planned once per session: planning takes longer than a small fold
as $$
declare
    now_state record;
    more integer;
    facts entity_stats.ledger [];
    lightest integer;
    oldest timestamptz;
    waited boolean := own <> pg_current_xact_id();
begin
    -- The gate first, state and cutoffs in later statements: whoever moves them holds it exclusively.
    lock table entity_stats.gate in row share mode;
    select
        s.status, s.folding, s.retaining,
        exists (select from entity_stats.invalidation) as invalid,
        (select max(w.cutoff) from entity_stats.time_window as w) as newest
    into now_state
    from entity_stats.state as s;

    if now_state.status = 'empty' or now_state.invalid then
        delete from entity_stats.ledger as l where l.xid = own and not l.folded;
        delete from entity_stats.parked as p where p.xid = own;
        return 0;
    elsif not now_state.folding then
        return null;
    end if;

    facts := array(
        select l
        from entity_stats.ledger as l
        where l.xid = own and not l.folded
        order by l.fact
        limit most + whole::integer
    );
    more := cardinality(facts);

    if more > most then
        insert into entity_stats.parked (xid, reason) values (own, format('more than %s killmails', most));
        return null;
    end if;

    perform entity_stats.take(own, facts[more].fact, now_state.retaining);

    -- As many as we bring ourselves, so that nobody's COMMIT more than doubles.
    if leftover is not null and more > 0 then
        waited := true;
        facts := facts || array(
            select l
            from entity_stats.ledger as l
            where l.xid = leftover and not l.folded
            order by l.fact
            limit more
        );
        perform entity_stats.take(leftover, facts[cardinality(facts)].fact, now_state.retaining);
        if not exists (select from entity_stats.ledger as l where l.xid = leftover and not l.folded) then
            delete from entity_stats.parked as p where p.xid = leftover;
        end if;
    end if;

    select min(f.weight), min(f."killmailTime") into lightest, oldest from unnest(facts) as f;

    if lightest < 0 and exists (select from entity_stats.parked as p where p.xid <> own) then
        insert into entity_stats.overtaking default values;
    end if;

    if lightest >= 0 and oldest >= now_state.newest then
        perform entity_stats.merge(facts => facts, waited => waited);
    else
        perform entity_stats.merge(array(select d from entity_stats.deltas(facts) as d), waited => waited);
    end if;

    return cardinality(facts);
end
$$;

comment on function entity_stats.fold(xid8, xid8, integer, boolean) is
'Folds at most most facts of transaction own, and up to as many of a parked one (leftover, or null); returns how many, 0 and drops them while the cache is empty, null and leaves them during the first part of a backfill. whole: with more than most, it parks all of them.';

create or replace function entity_stats.take(owner xid8, last bigint, retaining boolean)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    -- Nobody else touches them: they are this transaction's own, or those of a parked one that it has locked.
    if retaining then
        update entity_stats.ledger as l
        set folded = true
        where l.xid = owner and l.fact <= last and not l.folded and not l.absorbed;
    end if;

    delete from entity_stats.ledger as l where l.xid = owner and l.fact <= last and not l.folded;
end
$$;

comment on function entity_stats.take(xid8, bigint, boolean) is
'Removes the unfolded facts of one transaction, up to fact last, from the ledger; while a build is retaining, they stay, marked as folded.';
