-- Why facts wait in the ledger, and since when.
drop function if exists entity_stats.backlog();

create function entity_stats.backlog()
returns table (reason text, transactions bigint, killmails bigint, oldest timestamptz)
language sql stable
begin atomic
    select
        coalesce(p.reason, 'a backfill is running') as reason,
        count(distinct p.xid) as transactions,
        sum(p.killmails) as killmails,
        min(p."capturedAt") as oldest
    from entity_stats.pending_parts() as p
    group by p.reason
    order by min(p."capturedAt");
end;

comment on function entity_stats.backlog() is
'Committed changes of killmails that wait for a fold, by reason, with the time of the oldest; no row: nothing waits.';
