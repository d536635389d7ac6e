-- Killmails as they are, by the statement that could not write to the ledger, which somebody held locked: pending as well.
create table if not exists entity_stats.aside (
    part bigint primary key default nextval('entity_stats.ledger_part_seq'),
    xid xid8 not null default pg_current_xact_id(),
    "capturedAt" timestamptz not null default clock_timestamp(),
    weight integer not null,
    killmail jsonb not null,
    reason text not null
);

comment on table entity_stats.aside is 'Captured killmails, whole, that could not be written to the ledger; fold_pending() moves them there.';
