-- What deploying has come to, for the person who did it: a few lines, what is wrong after what is right, what to do next at the end.
create or replace function entity_stats.deployment()
returns setof text
language sql stable
set search_path = pg_catalog, pg_temp
as $$ -- bound when it is run: an upgrade may drop status()
    select l.line
    from (
        select 1 as place, format('The entity stats cache is deployed in database %s.', current_database()) as line
        union all
        select 2, format('killmails: %s, all with their triggers.', case count(*) when 1 then 'one table' else format('%s tables', count(*)) end)
        from entity_stats.nodes()
        having not exists (select from entity_stats.unguarded())
        union all
        select
            3,
            case
                when exists (select from pg_event_trigger as e where e.evtname = 'entity_stats_ddl')
                    then 'New partitions: noticed at once, by event triggers.'
                else
                    'New partitions: noticed by the five-minute DAG, or by call entity_stats.look_at_source() from cron. '
                    'Event triggers, which notice them at once, need a superuser.'
            end
        union all
        select
            4,
            format(
                'Readers: %s',
                coalesce(
                    string_agg(m.member::regrole::text, ', ' order by m.member::regrole::text) || '.',
                    'nobody yet. For each role that reads: grant entity_stats_reader to <role>;'
                )
            )
        from pg_auth_members as m
        inner join pg_roles as r on m.roleid = r.oid and r.rolname = 'entity_stats_reader'
        union all
        select 5, format('Cache: %s%s.', s.status, to_char(s."asOf" at time zone 'UTC', '", as of" YYYY-MM-DD HH24:MI "UTC"'))
        from entity_stats.status() as s
        union all
        select 6, format('Warning: %s has not all of its triggers: call entity_stats.guard_killmails();', u.node)
        from entity_stats.unguarded() as u
        union all
        select 6, format('Warning: %s', s.reason)
        from entity_stats.status() as s
        where s.reason is not null
        union all
        select
            7,
            case s.status
                when 'ready' then 'Next: nothing. To see that every figure is right: select * from entity_stats.differences();'
                when 'backfilling' then 'Next, unless a backfill is running: call entity_stats.backfill(); or the DAG entity_stats_backfill. It resumes.'
                when 'empty' then 'Next: call entity_stats.backfill(); or the DAG entity_stats_backfill.'
                else 'Next: what the warning says.'
            end
        from entity_stats.status() as s
    ) as l
    order by l.place, l.line
$$;

comment on function entity_stats.deployment() is
'What is deployed, in lines for a person: triggers, readers, the cache''s state, then warnings, then what to do next. deploy.sql prints it.';
