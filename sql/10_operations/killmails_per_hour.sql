-- Killmails by the hour in which they happened, and how many of them the cache does not contain yet.
create or replace function entity_stats.killmails_per_hour(hours integer default 48)
returns table (hour timestamptz, killmails bigint, pending bigint)
language sql stable
begin atomic
    select
        h.hour,
        coalesce(k.killmails, 0) as killmails,
        coalesce(l.pending, 0) as pending
    from (
        select date_trunc('hour', now(), 'UTC') - n * interval '1 hour' as hour
        from generate_series(0, killmails_per_hour.hours - 1) as n
    ) as h
    left join (
        select
            date_trunc('hour', m."killmailTime", 'UTC') as hour,
            count(*) as killmails
        from entity_stats.killmail() as m
        where m."killmailTime" > now() - killmails_per_hour.hours * interval '1 hour'
        group by date_trunc('hour', m."killmailTime", 'UTC')
    ) as k on h.hour = k.hour
    left join (
        select
            date_trunc('hour', f."killmailTime", 'UTC') as hour,
            count(*) as pending
        from entity_stats.pending_facts() as p
        cross join lateral unnest(p.facts) as f
        where f.weight = 1
        group by date_trunc('hour', f."killmailTime", 'UTC')
    ) as l on h.hour = l.hour
    order by h.hour;
end;

comment on function entity_stats.killmails_per_hour(integer) is
'The last hours (UTC, by killmailTime): killmails, and those of them that wait in the ledger for a fold.';
