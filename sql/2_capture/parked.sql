-- Transactions whose facts wait for somebody else to fold them: folds find left-overs here without searching the ledger.
-- Never read by the ingest that writes it and without a unique key: in SERIALIZABLE either would doom ingests. A transaction may
-- therefore have several rows; who folds it holds its advisory lock, see fold_parked().
create table if not exists entity_stats.parked (
    xid xid8 not null default pg_current_xact_id(),
    "parkedAt" timestamptz not null default clock_timestamp(),
    reason text not null,
    "failedAt" timestamptz
);

comment on table entity_stats.parked is 'Committed transactions whose facts wait in the ledger for a later fold.';
comment on column entity_stats.parked."parkedAt" is 'When the transaction first left facts to others: at its COMMIT, or earlier where it cannot fold at all.';
comment on column entity_stats.parked.reason is 'Why it did not fold at its own COMMIT.';
comment on column entity_stats.parked."failedAt" is 'When a fold of it failed last: COMMITs leave it to fold_pending() then.';
