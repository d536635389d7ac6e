-- Upgrades in place: what earlier versions have left is altered here and nowhere else, because all of it is locked at once, before
-- anything else is. Were it locked table by table, who reads several of them in one transaction, and this deployment, would wait for one
-- another. Who waits here in a function of before goes on in it: what is replaced gets another name, and drop_superseded() drops it
-- after the COMMIT.
do $$
declare
    most constant integer := 100000;
    has constant text[] := array(
        select format('%s.%s', c.relname, a.attname)
        from pg_catalog.pg_class as c
        inner join pg_catalog.pg_attribute as a on c.oid = a.attrelid
        where
            (c.relnamespace = to_regnamespace('entity_stats') or c.oid = to_regclass('public.entity_stats_cache'))
            and c.relkind in ('r', 'i')
            and not a.attisdropped
    );
    row_per_killmail constant boolean := 'ledger.weight' = any(has);
    no_history constant boolean := 'state.single' = any(has) and 'state.historyTo' <> all(has) and not row_per_killmail;
    no_parts constant boolean := 'phase.period' = any(has) and 'phase.parts' <> all(has);
    index_without_part constant boolean := 'ledger.part' = any(has) and 'ledger_xid.part' <> all(has);
    invalidation_within constant boolean := 'invalidation.reason' = any(has);
    no_leads constant boolean := 'entity_stats_cache.entityId' = any(has) and 'entity_stats_cache.leads' <> all(has);
    marks constant boolean := no_leads and 'mark.list' = any(has);
    runs_in_a_document constant boolean := 'run.detail' = any(has);
    no_verdict constant boolean := exists (
        select from pg_catalog.pg_proc as p where p.oid = to_regprocedure('entity_stats.status()') and p.proargnames[1] <> 'verdict'
    );
    claims text[] := '{}';
    claim text;
    command text;
begin
    -- Claims are views of what is about to be replaced, in every deployment: 11_checks/ makes them again.
    if to_regprocedure('entity_stats.claims()') is not null then
        claims := array(select format('entity_stats.%I', c.claim) from entity_stats.claims() as c);
    end if;

    perform entity_stats.lock_with_retries(
        'access exclusive',
        variadic claims || array(
            select t.name
            from (
                values
                -- Whoever has captured holds the ledger until his COMMIT, which takes the rest.
                (1, 'public.killmails', row_per_killmail or index_without_part),
                (2, 'entity_stats.gate', row_per_killmail),
                (3, 'entity_stats.ticket', row_per_killmail),
                (4, 'entity_stats.parked', row_per_killmail),
                (5, 'entity_stats.overtaking', row_per_killmail),
                (6, 'entity_stats.staged', row_per_killmail),
                (7, 'entity_stats.phase', row_per_killmail or no_parts),
                (8, 'entity_stats.state', row_per_killmail or no_history),
                (9, 'entity_stats.time_window', row_per_killmail),
                (10, 'entity_stats.invalidation', invalidation_within),
                (11, 'entity_stats.run', runs_in_a_document),
                (12, 'entity_stats.ledger', row_per_killmail or index_without_part),
                (13, 'entity_stats.mark', marks),
                (14, 'public.entity_stats_cache', no_leads)
            ) as t (place, name, altered)
            where t.altered
            order by t.place
        )
    );

    foreach claim in array claims loop
        execute format('drop view %s', claim);
    end loop;

    -- Functions that return something else from now on, and one that stands on them.
    if no_verdict then
        drop function if exists public.get_stats_cache_summary();
    end if;
    for command in
        select format('alter function %s rename to %I', p.oid::regprocedure, p.proname || '_before')
        from pg_catalog.pg_proc as p
        where
            p.pronamespace = to_regnamespace('entity_stats')
            and (
                (no_leads and p.proname in ('draw_marks', 'misfiled', 'over_mark'))
                or (runs_in_a_document and p.proname in ('run_history', 'repairs'))
                or (no_verdict and p.proname = 'status')
            )
    loop
        execute command;
    end loop;

    -- Tickets and parked transactions stood beside that ledger. Nobody is between his capture and his COMMIT: killmails are locked.
    if row_per_killmail then
        if (select count(*) > most from (select from entity_stats.ledger as l where not l.folded limit most + 1) as pending) then
            raise exception 'more than % killmails are pending: moving them to the new ledger would block ingests for too long', most
                using errcode = 'object_not_in_prerequisite_state', hint = 'call entity_stats.fold_pending(), then deploy again.';
        end if;

        alter table entity_stats.ledger rename to ledger_before;
        alter table entity_stats.ledger_before rename constraint ledger_pkey to ledger_before_pkey;
        alter table entity_stats.time_window rename to time_window_before;
        alter table entity_stats.phase drop constraint phase_period_fkey;
        drop function entity_stats.backlog();
        drop table entity_stats.ticket, entity_stats.parked, entity_stats.overtaking;

        alter table entity_stats.state rename to state_before;
        alter table entity_stats.state_before rename constraint state_pkey to state_before_pkey;
        alter table entity_stats.state_before rename constraint state_single_check to state_before_single_check;
        alter table entity_stats.state_before rename constraint state_status_check to state_before_status_check;

        insert into entity_stats.invalidation (reason)
        select 'upgraded while a backfill was running'
        from entity_stats.state_before as s
        where s.status = 'backfilling';
    end if;

    if no_history then
        alter table entity_stats.state add column "historyTo" timestamptz;
    end if;

    -- Slices were ranges of time only.
    if no_parts then
        alter table entity_stats.phase add column parts integer not null default 1, add column "begunAt" timestamptz;
    end if;

    if index_without_part then
        drop index if exists entity_stats.ledger_xid;
    end if;

    if invalidation_within then
        alter table entity_stats.invalidation rename to entity_stats_invalidation;
        alter table entity_stats.entity_stats_invalidation set schema public;
        create view entity_stats.invalidation as -- for functions of before
        select i.*
        from public.entity_stats_invalidation as i;
    end if;

    -- Who is on a list of leaders was kept in a table of its own, or not at all: the next cleanup makes the lists anew.
    if no_leads then
        alter table public.entity_stats_cache add column leads smallint not null default 0;
    end if;
    if marks then
        alter table entity_stats.mark rename to mark_before;
        alter table entity_stats.mark_before rename constraint mark_pkey to mark_before_pkey;
    end if;

    if runs_in_a_document then
        -- Its place goes to the steps: a dropped column would leave a gap, and the table would not be as a fresh one.
        alter table entity_stats.run rename column detail to steps;
        alter table entity_stats.run
        add column "asOfGiven" boolean not null default false,
        add column "airflowRun" text,
        add column backend integer,
        add column characters bigint,
        add column corporations bigint,
        add column alliances bigint,
        add column "sizeBytes" bigint,
        add column failed text[] not null default '{}';

        update entity_stats.run as r
        set
            "asOfGiven" = r.steps ->> 'asOf' is not null,
            "airflowRun" = r.steps ->> 'run',
            backend = (r.steps ->> 'backend')::integer,
            characters = (r.steps #>> '{entities,character}')::bigint,
            corporations = (r.steps #>> '{entities,corporation}')::bigint,
            alliances = (r.steps #>> '{entities,alliance}')::bigint,
            "sizeBytes" = (r.steps ->> 'cacheBytes')::bigint,
            steps = coalesce(r.steps -> 'steps', '{}'),
            failed = array(select f.task from jsonb_array_elements_text(r.steps -> 'failed') as f (task));
    end if;
end
$$;
