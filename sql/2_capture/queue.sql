-- Which transactions have facts to fold: a ticket folds at its own COMMIT, a parked one waits for somebody else to fold it.
-- Tickets never outlive their transaction, so they need no WAL. The parked list is never read by the ingest that writes it
-- and has no unique key: in SERIALIZABLE either would doom ingests.
create unlogged table if not exists entity_stats.ticket (
    xid xid8 primary key default pg_current_xact_id(),
    due boolean not null default false
);

create table if not exists entity_stats.parked (
    xid xid8 not null default pg_current_xact_id(),
    "parkedAt" timestamptz not null default now(),
    reason text not null
);

comment on table entity_stats.ticket is 'Transactions that will fold their facts at their own COMMIT.';
comment on table entity_stats.parked is 'Committed transactions whose facts wait in the ledger for a later fold.';
comment on column entity_stats.parked.reason is 'Why it did not fold at its own COMMIT.';
