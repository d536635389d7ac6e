-- Deletions that were folded before facts of earlier transactions. Such a fact may tell of the newest killmail of an entity
-- that is gone already: while there is an entry, merge() verifies every time that it raises.
create table if not exists entity_stats.overtaking (
    xid xid8 not null default pg_current_xact_id()
);

comment on table entity_stats.overtaking is 'Transactions that folded a deletion while facts of others were parked; emptied once nothing is parked.';
comment on column entity_stats.overtaking.xid is 'The transaction that folded.';
