-- The fold's part in the history: facts of days that it no longer reads from killmails are kept for it.
create or replace function entity_stats.keep_late(facts entity_stats.fact[], history_to timestamptz)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
set jit = off
as $$
begin
    insert into entity_stats.late (
        "entityType", "entityId", day, kills, losses, "iskDestroyed", "iskLost", "soloKills", "soloLosses", "npcKills", "npcLosses"
    )
    select
        p."entityType", p."entityId", (p."killmailTime" at time zone 'UTC')::date, p.kills, p.losses, p."iskDestroyed", p."iskLost",
        p."soloKills", p."soloLosses", p."npcKills", p."npcLosses"
    from entity_stats.parties(facts) as p
    where p."killmailTime" < history_to;
end
$$;

comment on function entity_stats.keep_late(entity_stats.fact[], timestamptz) is
'Keeps what facts of killmails before history_to add to the history. Called by folds that add the facts to the cache, in the same transaction, while they hold the gate.';
