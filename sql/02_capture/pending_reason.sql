-- Why a transaction's COMMIT may not fold its own facts: the fold must read the newest cutoffs, and in SERIALIZABLE it would
-- doom the ingest.
create or replace function entity_stats.pending_reason()
returns text
language sql stable
return
case
    when current_setting('transaction_isolation') <> 'read committed' then current_setting('transaction_isolation')
    when coalesce(current_setting('entity_stats.fold', true), '') = 'deferred' then 'deferred'
end;

comment on function entity_stats.pending_reason() is 'Why this transaction leaves its facts to fold_pending(): its isolation level, or deferred; null when its COMMIT folds them.';
