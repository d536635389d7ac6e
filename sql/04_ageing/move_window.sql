-- Moves one cutoff a small step: what left the window is subtracted, what came back (a rebuild only) is added. Its cost is
-- that of the killmails between the two cutoffs, whatever the history.
create or replace function entity_stats.move_window(in_period text, target timestamptz, back boolean default false)
returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
set row_security = off
set plan_cache_mode = force_custom_plan
set jit = off
as $$
declare
    most constant integer := 200; -- killmails per step: the gate is closed for some tens of milliseconds
    old_cutoff timestamptz;
    new_cutoff timestamptz := target;
    steps bigint;
    edge timestamptz;
    forward boolean;
    facts entity_stats.fact [];
begin
    lock table entity_stats.state in row exclusive mode; -- before it is read: REINDEX holds it and waits for readers of its index
    perform entity_stats.lock_with_retries('access share', 'public.killmails');
    select w.cutoff into old_cutoff from entity_stats.time_window as w where w.period = in_period and w.days is not null;

    if not found then
        raise exception 'unknown window: %', in_period
            using errcode = 'invalid_parameter_value', hint = 'Windows are 90d, 30d and 14d.';
    elsif old_cutoff = target or (old_cutoff > target and not back) then
        return null; -- somebody else may have gone further: a window does not go back by ageing
    end if;

    -- The end of the step is found before the gate closes; killmails of the same time go together.
    forward := target > old_cutoff;
    if forward then
        select count(*), max(k."killmailTime") into steps, edge
        from (
            select m."killmailTime"
            from entity_stats.killmail() as m
            where m."killmailTime" >= old_cutoff and m."killmailTime" < target
            order by m."killmailTime"
            limit most
        ) as k;
        if steps = most then
            new_cutoff := least(target, edge + interval '1 microsecond');
        end if;
    else
        select count(*), min(k."killmailTime") into steps, edge
        from (
            select m."killmailTime"
            from entity_stats.killmail() as m
            where m."killmailTime" >= target and m."killmailTime" < old_cutoff
            order by m."killmailTime" desc
            limit most
        ) as k;
        if steps = most then
            new_cutoff := edge;
        end if;
    end if;

    perform entity_stats.close_gate();

    if not public.is_stats_cache_populated() then
        raise exception 'the cache is not ready: there is nothing to age'
            using errcode = 'object_not_in_prerequisite_state', hint = 'Run the backfill first: call entity_stats.backfill().';
    elsif (select s.retaining from entity_stats.state as s) then
        raise exception 'a rebuild is running: windows stand still until it has finished'
            using errcode = 'object_not_in_prerequisite_state', hint = 'Finish it: call entity_stats.backfill(rebuild => true).';
    elsif (select w.cutoff <> old_cutoff from entity_stats.time_window as w where w.period = in_period) then
        return 0; -- somebody else moved it meanwhile: look again
    end if;

    -- Pending facts of the range are not in the cache: they neither leave nor come back here, and will be folded under the
    -- new cutoff.
    facts := array(
        select
            row(
                m.sign, m."killmailTime",
                m."topAttackerCharacterId", m."topAttackerCorporationId", m."topAttackerAllianceId",
                m."victimCharacterId", m."victimCorporationId", m."victimAllianceId",
                m.sign * m.isk, m.solo, m.npc
            )::entity_stats.fact
        from (select case when forward then -1 else 1 end as sign, k.* from entity_stats.killmail() as k) as m
        where m."killmailTime" >= least(old_cutoff, new_cutoff) and m."killmailTime" < greatest(old_cutoff, new_cutoff)
        union all
        select
            row(
                p.sign * f.weight, f."killmailTime",
                f."topAttackerCharacterId", f."topAttackerCorporationId", f."topAttackerAllianceId",
                f."victimCharacterId", f."victimCorporationId", f."victimAllianceId",
                p.sign * f.isk, f.solo, f.npc
            )::entity_stats.fact
        from (select case when forward then 1 else -1 end as sign, l.* from entity_stats.pending_facts() as l) as p
        cross join lateral unnest(p.facts) as f
        where f."killmailTime" >= least(old_cutoff, new_cutoff) and f."killmailTime" < greatest(old_cutoff, new_cutoff)
    );

    -- Only figures of the window change: whoever leaves it or comes back keeps the newest times.
    perform entity_stats.add(facts, '{}', (select w.bit from entity_stats.time_window as w where w.period = in_period), null, null);
    update entity_stats.state as s
    set
        "cutoff90d" = case in_period when '90d' then new_cutoff else s."cutoff90d" end,
        "cutoff30d" = case in_period when '30d' then new_cutoff else s."cutoff30d" end,
        "cutoff14d" = case in_period when '14d' then new_cutoff else s."cutoff14d" end;

    return steps;
end
$$;

comment on function entity_stats.move_window(text, timestamptz, boolean) is
'Moves the cutoff of one window towards target by about 200 killmails, under the gate; returns how many killmails left (or came back), null when it is there, or beyond unless back allows to go back (a rebuild).';
