-- What the cache is worth right now, and all that a COMMIT must know: a single row, changed under the gate only.
create table if not exists entity_stats.state (
    single boolean primary key default true check (single),
    status text collate "C" not null check (status in ('empty', 'backfilling', 'ready')),
    retaining boolean not null,
    "asOf" timestamptz,
    "systemIdentifier" bigint,
    "startedAt" timestamptz,
    "readyAt" timestamptz,
    "finishedTo" bigint,
    "cutoff90d" timestamptz not null,
    "cutoff30d" timestamptz not null,
    "cutoff14d" timestamptz not null,
    "historyTo" timestamptz
);

do $$
begin
    if to_regclass('entity_stats.state_before') is not null then -- an upgrade: a rebuild that was running begins anew
        insert into entity_stats.state (
            status, retaining, "asOf", "systemIdentifier", "startedAt", "readyAt", "cutoff90d", "cutoff30d", "cutoff14d"
        )
        select
            s.status, false, s."asOf", s."systemIdentifier", s."startedAt", s."readyAt",
            max(w.cutoff) filter (where w.days = 90), max(w.cutoff) filter (where w.days = 30), max(w.cutoff) filter (where w.days = 14)
        from entity_stats.state_before as s
        cross join entity_stats.time_window_before as w
        where not exists (select from entity_stats.state)
        group by s.single;
    end if;
end
$$;

-- Until the first backfill the views count back from the deployment.
insert into entity_stats.state (status, retaining, "cutoff90d", "cutoff30d", "cutoff14d")
select 'empty', false, now() - 90 * interval '24 hours', now() - 30 * interval '24 hours', now() - 14 * interval '24 hours'
where not exists (select from entity_stats.state);

-- Else the planner takes it for hundreds of rows, and whatever joins it for so expensive that it is compiled.
analyze entity_stats.state;

-- An empty table whose lock is the gate: ROW SHARE by whoever folds, EXCLUSIVE by whoever changes state or cutoffs.
-- Commented when it is made: COMMENT ON TABLE locks, and a deployment would then hold the gate while it waits for what comes before it.
do $$
begin
    if to_regclass('entity_stats.gate') is null then
        create table entity_stats.gate ();
        comment on table entity_stats.gate is 'Never holds a row. Take its lock first, read state and cutoffs in the next statement.';
    end if;
end
$$;

comment on table entity_stats.state is 'Status of the cache and of a running build, and where its windows begin.';
comment on column entity_stats.state.status is 'ready: folds apply facts to the cache; backfilling: they leave them in the ledger; empty: they drop them.';
comment on column entity_stats.state.retaining is 'A build still needs applied facts: folds keep them in the ledger, marked as folded.';
comment on column entity_stats.state."readyAt" is 'Since when it serves: a rebuild does not change it.';
comment on column entity_stats.state."cutoff90d" is 'Killmails at or after it count in the window. Moves forward by ageing only.';
comment on column entity_stats.state."historyTo" is
'Folds keep facts of killmails before it in entity_stats.late; a midnight, UTC. Moves forward by closing days only. Null: no history.';
comment on column entity_stats.state."asOf" is 'Time from which the running or last backfill counted its windows back.';
comment on column entity_stats.state."systemIdentifier" is 'Server on which the running build took its snapshots.';
comment on column entity_stats.state."finishedTo" is 'The last id that the finish has written.';
