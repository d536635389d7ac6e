-- What the cache does not contain yet.
create or replace function entity_stats.pending_parts()
returns table (xid xid8, "capturedAt" timestamptz, reason text, killmails integer)
language sql stable
begin atomic
    select l.xid, l."capturedAt", l.reason, l.killmails
    from entity_stats.ledger as l
    where not l.folded
    union all
    select a.xid, a."capturedAt", a.reason, 1
    from entity_stats.aside as a
    where a.killmail ->> 'killmailTime' is not null; -- no window has it
end;

comment on function entity_stats.pending_parts() is
'How many killmails are pending, since when and why, whatever has become of killmails: what tells that something has asks this.';

-- Facts set aside are read back with the types that killmails have now; while there are none, nothing asks for those types, which would
-- lock killmails. A plan that is kept would go on with a table that is gone: planned each time.
create or replace function entity_stats.facts_aside()
returns table (part bigint, xid xid8, "capturedAt" timestamptz, fact entity_stats.fact, reason text)
language plpgsql stable security definer -- views of readers call it, who have no right on whole killmails
rows 1
set search_path = pg_catalog, pg_temp
set jit = off
as $$
begin
    if exists (select from entity_stats.aside) then
        return query execute $facts$
            select
                a.part,
                a.xid,
                a."capturedAt",
                row(
                    a.weight, k."killmailTime",
                    k."topAttackerCharacterId", k."topAttackerCorporationId", k."topAttackerAllianceId",
                    k."victimCharacterId", k."victimCorporationId", k."victimAllianceId",
                    a.weight * entity_stats.isk(k."totalValue"), k.solo, k.npc
                )::entity_stats.fact as fact,
                a.reason
            from entity_stats.aside as a
            cross join lateral jsonb_populate_record(null::public.killmails, a.killmail) as k
            where k."killmailTime" is not null
        $facts$;
    end if;
end
$$;

comment on function entity_stats.facts_aside() is 'The killmails of entity_stats.aside as facts.';

create or replace function entity_stats.pending_facts()
returns table (xid xid8, "capturedAt" timestamptz, reason text, killmails integer, facts entity_stats.fact[], absorbed boolean)
language sql stable
begin atomic
    select l.xid, l."capturedAt", l.reason, l.killmails, l.facts, l.absorbed
    from entity_stats.ledger as l
    where not l.folded
    union all
    select a.xid, a."capturedAt", a.reason, 1, array[a.fact], false
    from entity_stats.facts_aside() as a;
end;

comment on function entity_stats.pending_facts() is 'Committed changes of killmails that no fold has applied yet: what is in the ledger, and what is aside.';

create or replace function entity_stats.pending(absorbed boolean)
returns setof entity_stats.delta
language sql stable
begin atomic
    select
        p."entityType", p."entityId", w.bit as periods, p.kills::bigint, p.losses::bigint, p."iskDestroyed", p."iskLost",
        p."soloKills"::bigint, p."soloLosses"::bigint, p."npcKills"::bigint, p."npcLosses"::bigint,
        p."lastKillTime", p."lastLossTime", p."staleKillTime", p."staleLossTime"
    from entity_stats.pending_facts() as f
    cross join lateral entity_stats.parties(f.facts) as p
    inner join entity_stats.time_window as w on p."killmailTime" >= w.cutoff
    where f.absorbed or not pending.absorbed;
end;

comment on function entity_stats.pending(boolean) is
'Deltas of the facts that no fold has applied yet, one period each; absorbed: only of those that a running build has staged.';
