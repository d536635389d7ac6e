-- PUBLIC may do nothing; readers get the read API and the views; operators own the rest.
set local client_min_messages = error; -- of watch_ddl(), which may be somebody else's
revoke execute on all functions in schema entity_stats from public;
set local client_min_messages = warning;
revoke execute on all procedures in schema entity_stats from public;

grant execute on function
public.get_entity_stats(bigint, text, text),
public.get_entity_stats_from_cache(bigint, text, text),
public.get_entity_stats_from_view(bigint, text, text),
public.get_entity_stats_for_window(bigint, text, interval),
public.explain_entity_stats(bigint, text, text),
public.get_counted_killmails(bigint, text, text, integer, timestamptz, bigint),
public.get_character_stats_from_cache(bigint, text),
public.get_corporation_stats_from_cache(bigint, text),
public.get_alliance_stats_from_cache(bigint, text),
public.get_multiple_entity_stats_from_cache(bigint[], text, text),
public.get_top_entities_from_cache(text, text, text, text, integer, bigint),
public.get_top_entities_by_kills_from_cache(text, text, integer, text),
public.get_top_entities_by_efficiency_from_cache(text, text, bigint, integer, text),
public.get_entity_rank(bigint, text, text),
public.get_entity_history(bigint, text, text, date, date, boolean),
public.get_multiple_entity_history(bigint[], text, text, date, date, boolean),
public.get_entity_history_from_view(bigint, text, text, date, date, boolean),
public.get_entity_first_times(bigint, text),
public.is_stats_cache_populated(),
public.get_stats_cache_summary()
to entity_stats_reader;

-- The views are inlined down to killmails, so that a filter reaches its indexes; whoever reads them must be allowed what they
-- are made of: the columns that the cache reads, and what turns them into figures, by name, because killmail() is looked up when
-- it is run. Nothing else in schema entity_stats is granted to them.
grant select on public.character_stats, public.corporation_stats, public.alliance_stats, public.entity_months, public.entity_days to entity_stats_reader;
grant usage on schema entity_stats to entity_stats_reader;
grant select on entity_stats.time_window to entity_stats_reader;
grant select (
    "killmailTime",
    "topAttackerCharacterId", "topAttackerCorporationId", "topAttackerAllianceId",
    "victimCharacterId", "victimCorporationId", "victimAllianceId",
    "totalValue", solo, npc
) on public.killmails to entity_stats_reader;
grant execute on function
entity_stats.source_stats(text),
entity_stats.stats(entity_stats.delta),
entity_stats.truth(),
entity_stats.totals(timestamptz, timestamptz),
entity_stats.totals_by_date(text, timestamptz, timestamptz),
entity_stats.parties(entity_stats.fact[]),
entity_stats.facts_aside(),
entity_stats.closed_to(),
entity_stats.midnight(date),
entity_stats.killmail_party(),
entity_stats.killmail(),
entity_stats.isk(double precision),
entity_stats.isk(real),
entity_stats.isk(numeric),
entity_stats.cents(double precision),
entity_stats.cents(real),
entity_stats.cents(numeric)
to entity_stats_reader;

-- For lift_temp_file_limit(). Only a superuser can give it; without it all works that fits into the limit.
do $$
begin
    if
        (select r.rolsuper from pg_catalog.pg_roles as r where r.rolname = current_user)
        and not has_parameter_privilege('entity_stats_operator', 'temp_file_limit', 'set')
    then
        execute 'grant set on parameter temp_file_limit to entity_stats_operator';
    end if;
end
$$;
