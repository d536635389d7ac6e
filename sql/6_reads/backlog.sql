-- Why facts wait in the ledger, and since when.
create or replace function entity_stats.backlog()
returns table (reason text, transactions bigint, oldest timestamptz)
language sql stable
begin atomic
    select p.reason, count(*) as transactions, min(p."parkedAt") as oldest
    from entity_stats.parked as p
    group by p.reason
    order by oldest;
end;

comment on function entity_stats.backlog() is
'Committed transactions whose facts wait for a later fold, by reason, with the time of the oldest; no row: nothing waits.';
