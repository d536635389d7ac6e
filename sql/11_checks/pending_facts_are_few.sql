create view entity_stats.pending_facts_are_few as
select
    p.pending,
    p.since
from (
    select
        sum(f.killmails) as pending,
        min(f."capturedAt") as since
    from entity_stats.pending_parts() as f
) as p
where p.pending >= 100000;

comment on view entity_stats.pending_facts_are_few is
'warn: Fewer than 100,000 facts are pending.

A bulk load leaves one per killmail. Until they are folded, the cached figures lag behind killmails by exactly these facts, and
checks have to read each of them.

What to do: call entity_stats.fold_pending(). Several sessions may run it at once.';
