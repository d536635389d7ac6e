-- Facts that no phase has seen go into the staging; of a first build, from there into the cache.
create or replace function entity_stats.merge_staged()
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set jit = off
as $$
begin
    if (select s.status = 'backfilling' and s."finishedTo" is not null from entity_stats.state as s) then
        perform entity_stats.merge(deltas => array(select row(s.*)::entity_stats.delta from entity_stats.staged as s));
        delete from entity_stats.staged;
    end if;
end
$$;

comment on function entity_stats.merge_staged() is
'First build only, once the cache is filed: adds what has been absorbed to it.';

create or replace function entity_stats.absorb(most integer)
returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    taken bigint [];
begin
    perform entity_stats.take_from_aside();
    -- In the order of capture: a deletion comes after the arrival that it deletes, although its transaction may be the older one.
    taken := array(
        select l.part
        from entity_stats.ledger as l
        where not l.absorbed
        order by l.part
        limit most
    );

    insert into entity_stats.staged
    select
        d."entityType", d."entityId", w.bit, d.kills, d.losses, d."iskDestroyed", d."iskLost",
        d."soloKills", d."soloLosses", d."npcKills", d."npcLosses",
        d."lastKillTime", d."lastLossTime", d."staleKillTime", d."staleLossTime"
    from entity_stats.ledger as l
    cross join lateral entity_stats.parties(l.facts) as d
    inner join entity_stats.time_window as w on d."killmailTime" >= w.cutoff
    inner join entity_stats.phase as p
        on
            w.period = p.period
            and d."entityType" = p."entityType"
            and d."killmailTime" >= p."fromTime"
            and (p."toTime" is null or d."killmailTime" < p."toTime")
            and entity_stats.in_part(d."entityId", p.slice, p.parts)
    where l.part = any(taken) and not pg_visible_in_snapshot(l.xid, p.snapshot);

    -- A fact that no fold has applied yet stays pending for the fold, unless folds have not begun: then the staging has it.
    delete from entity_stats.ledger as l
    where l.part = any(taken) and (l.folded or (select s.status = 'backfilling' from entity_stats.state as s));

    update entity_stats.ledger as l set absorbed = true where l.part = any(taken);

    return cardinality(taken);
end
$$;

comment on function entity_stats.absorb(integer) is
'Under the gate: takes up to most rows of the ledger into the staging, as far as the phases have not seen them; returns how many it looked at.';

create or replace function entity_stats.absorb_some(most integer)
returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set jit = off
as $$
declare
    taken bigint;
begin
    perform entity_stats.lock_build(alone => true);
    perform entity_stats.lock_with_retries('access share', 'public.killmails');
    perform entity_stats.close_gate();
    taken := entity_stats.absorb(most);
    perform entity_stats.merge_staged();
    return taken;
end
$$;

comment on function entity_stats.absorb_some(integer) is 'absorb() in a transaction of its own.';
