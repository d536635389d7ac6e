create view entity_stats.ledger_is_drained as
select
    b.reason,
    b.oldest as since,
    b.transactions,
    b.killmails
from entity_stats.backlog() as b
where public.is_stats_cache_populated() and b.oldest < now() - interval '2 hours';

comment on view entity_stats.ledger_is_drained is
'fail: No fact has been pending for more than two hours since it was captured.

Pending facts (bulk loads, other isolation levels, deferred mode, faults) are folded by entity_stats_fold_pending every five
minutes, and by the cleanup. Until then the cached figures lag behind killmails by exactly these facts.

What to do: call entity_stats.fold_pending() and read its error; see that entity_stats_fold_pending is not paused.
select reason, count(*) from entity_stats.ledger group by reason says why they wait. Many with 55P03: a session holds the gate
for seconds, see select pid, mode from pg_locks where relation = ''entity_stats.gate''::regclass.';
