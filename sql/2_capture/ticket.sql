-- Transactions that fold their own facts at COMMIT. A ticket never outlives its transaction, so the table needs no WAL.
create unlogged table if not exists entity_stats.ticket (
    xid xid8 primary key default pg_current_xact_id()
);

comment on table entity_stats.ticket is 'Transactions that will fold their facts at their own COMMIT.';
