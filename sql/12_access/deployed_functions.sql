-- Every function and procedure of the cache: all of schema entity_stats, and the API in schema public by its signatures, so that
-- a function of the site is never taken for one of ours. Ownership and uninstall go by this list; watch_ddl() stays its creator's.
create or replace function entity_stats.deployed_functions()
returns setof oid
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
    select p.oid
    from pg_proc as p
    where
        (p.pronamespace = 'entity_stats'::regnamespace and p.prorettype <> 'event_trigger'::regtype)
        or p.oid in (
            to_regprocedure('public.update_entity_stats_on_insert()'),
            to_regprocedure('public.get_entity_stats(bigint,text,text)'),
            to_regprocedure('public.get_entity_stats_from_cache(bigint,text,text)'),
            to_regprocedure('public.get_entity_stats_from_view(bigint,text,text)'),
            to_regprocedure('public.get_entity_stats_for_window(bigint,text,interval)'),
            to_regprocedure('public.explain_entity_stats(bigint,text,text)'),
            to_regprocedure('public.get_counted_killmails(bigint,text,text,integer,timestamptz,bigint)'),
            to_regprocedure('public.get_character_stats_from_cache(bigint,text)'),
            to_regprocedure('public.get_corporation_stats_from_cache(bigint,text)'),
            to_regprocedure('public.get_alliance_stats_from_cache(bigint,text)'),
            to_regprocedure('public.get_multiple_entity_stats_from_cache(bigint[],text,text)'),
            to_regprocedure('public.get_top_entities_from_cache(text,text,text,text,integer,bigint)'),
            to_regprocedure('public.get_top_entities_by_kills_from_cache(text,text,integer,text)'),
            to_regprocedure('public.get_top_entities_by_efficiency_from_cache(text,text,bigint,integer,text)'),
            to_regprocedure('public.get_entity_rank(bigint,text,text)'),
            to_regprocedure('public.get_entity_history(bigint,text,text,date,date,boolean)'),
            to_regprocedure('public.get_multiple_entity_history(bigint[],text,text,date,date,boolean)'),
            to_regprocedure('public.get_entity_history_from_view(bigint,text,text,date,date,boolean)'),
            to_regprocedure('public.get_entity_first_times(bigint,text)'),
            to_regprocedure('public.is_stats_cache_populated()'),
            to_regprocedure('public.get_stats_cache_summary()')
        );
end;

comment on function entity_stats.deployed_functions() is 'Functions and procedures that deploy.sql created.';
