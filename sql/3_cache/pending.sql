-- What later folds will add to the cache.
create or replace function entity_stats.pending(absorbed boolean)
returns setof entity_stats.delta
language sql stable
begin atomic
    select
        d."entityType", d."entityId", w.bit as periods, d.kills, d.losses, d."iskDestroyed", d."iskLost",
        d."soloKills", d."soloLosses", d."npcKills", d."npcLosses",
        d."lastKillTime", d."lastLossTime", d."staleKillTime", d."staleLossTime"
    from entity_stats.ledger as l
    cross join lateral entity_stats.deltas(array[l]) as d
    inner join entity_stats.time_window as w on d.periods & w.bit <> 0
    where not l.folded and (l.absorbed or not pending.absorbed);
end;

comment on function entity_stats.pending(boolean) is
'Deltas of the facts that no fold has applied yet, one period each; absorbed: only of those that a running build has staged.';
