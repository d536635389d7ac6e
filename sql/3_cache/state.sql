-- What the cache is worth right now: a single row, changed under the gate only.
create table if not exists entity_stats.state (
    single boolean primary key default true check (single),
    status text collate "C" not null check (status in ('empty', 'backfilling', 'ready')),
    folding boolean not null,
    retaining boolean not null,
    "asOf" timestamptz,
    "systemIdentifier" bigint,
    "startedAt" timestamptz,
    "readyAt" timestamptz,
    "finishedTo" bigint,
    leaves oid[]
);

insert into entity_stats.state (status, folding, retaining) values ('empty', false, false) on conflict do nothing;

-- An empty table whose lock is the gate: ROW SHARE by whoever folds, EXCLUSIVE by whoever changes state or cutoffs.
create table if not exists entity_stats.gate ();

comment on table entity_stats.state is 'Status of the cache and of a running build.';
comment on column entity_stats.state.folding is 'Folds apply facts to the cache; otherwise facts stay in the ledger.';
comment on column entity_stats.state.retaining is 'A build still needs applied facts: folds keep them in the ledger, marked as folded.';
comment on column entity_stats.state."asOf" is 'Time from which the running or last backfill counted its windows back.';
comment on column entity_stats.state."systemIdentifier" is 'Server on which the running build took its snapshots.';
comment on column entity_stats.state."finishedTo" is 'The finish has written all entities with smaller ids.';
comment on column entity_stats.state.leaves is 'Tables that held the killmails when the running build began.';
comment on table entity_stats.gate is 'Never holds a row. Take its lock first, read state and cutoffs in the next statement.';
