-- When entities last killed or lost, from the source: one index lookup for each, in the newest partitions first. One statement for all that are looked
-- up together, planned for the partitions that it can reach: planning all of them takes a hundred times as long as a lookup.
create or replace function entity_stats.last_times(entity_type text, attacker boolean, entities bigint[], until timestamp[])
returns table ("entityId" bigint, "lastTime" timestamp)
language plpgsql volatile rows 100
set search_path = pg_catalog, pg_temp
set row_security = off -- a policy that hides killmails is an error
set jit = off
set lock_timeout = '500ms' -- a fold comes with rows of the cache locked: it gives up before it can deadlock with a TRUNCATE
as $$
declare
    party constant text := case when attacker then 'topAttacker' else 'victim' end || initcap(entity_type) || 'Id';
    oldest constant timestamptz := (select min(u.until) from unnest(until) as u (until)) at time zone 'UTC';
    newest constant timestamptz := (select max(u.until) from unnest(until) as u (until)) at time zone 'UTC';
    reach interval;
    left_entities bigint [] := entities;
    left_until timestamp [] := until;
    found_entities bigint [];
    found_times timestamp [];
begin
    foreach reach in array array[interval '14 days', interval '180 days', null] loop
        execute format(
            'select'
            '    array_agg(w.id) filter (where l.time is null), array_agg(w.until) filter (where l.time is null),'
            '    array_agg(w.id) filter (where l.time is not null), array_agg(l.time at time zone ''UTC'') filter (where l.time is not null) '
            'from unnest($1, $2) as w (id, until) '
            'left join lateral ('
            '    select k."killmailTime" as time '
            '    from public.killmails as k '
            '    where k.%1$I = w.id and k."killmailTime" <= w.until at time zone ''UTC'''
            '    and k."killmailTime" between $3 and $4 ' -- values in the plan, which has no other partitions
            '    order by k."killmailTime" desc '
            '    limit 1'
            ') as l on true',
            party
        )
        into left_entities, left_until, found_entities, found_times
        using left_entities, left_until, coalesce(oldest - reach, '-infinity'), newest;

        return query select f.id, f.time from unnest(found_entities, found_times) as f (id, time);
        exit when left_entities is null;
    end loop;
end
$$;

comment on function entity_stats.last_times(text, boolean, bigint[], timestamp[]) is
'Times (UTC) of the newest kills (attacker true) or losses of entities of one type, of each not after its until (UTC, as many as entities); an entity that has none gets no row.';
