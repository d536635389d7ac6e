-- THE order. psql reads it with \ir; the DAGs' deploy task reads the same lines. Transactions begin and end here and in
-- look_at_source() only: one creates everything but the triggers on killmails, which follow one node at a time because each of
-- them waits for that node's writers. Deployed unchanged, neither locks killmails.
--   psql -v ON_ERROR_STOP=1 -f sql/deploy.sql      prints what is deployed, and what to do next; with --quiet, nothing
-- Upgrades run the same file. Functions, views and triggers are replaced; what changes the result type of a function drops it
-- first, in its own file. Tables hold data and are created once: a file that changes its table keeps CREATE TABLE IF NOT
-- EXISTS as the new shape, followed by a DO block that asks the catalog (pg_attribute, pg_constraint) what is missing and
-- alters only then, because ALTER TABLE ... IF NOT EXISTS locks out everybody even when there is nothing to do.
\set entity_stats_quiet :QUIET
\set QUIET on
begin;
set local client_min_messages = warning; -- "already exists, skipping" is how a redeploy should be
set local check_function_bodies = off; -- BEGIN ATOMIC is bound all the same; the check would lock killmails

-- what we need of killmails: its facts, exact ISK
\ir 1_source/preflight.sql
\ir 1_source/schema.sql
\ir 1_source/nodes.sql
\ir 1_source/source.sql
\ir 1_source/source_changes.sql
\ir 1_source/isk.sql
\ir 1_source/killmail.sql
\ir 1_source/killmail_party.sql
\ir 1_source/totals.sql
\ir 1_source/totals_by_role.sql
\ir 1_source/totals_by_date.sql

-- triggers: write signed facts, nothing else
\ir 2_capture/earlier_ledger.sql
\ir 2_capture/fact.sql
\ir 2_capture/ledger.sql
\ir 2_capture/aside.sql
\ir 2_capture/invalidation.sql
\ir 2_capture/captures.sql
\ir 2_capture/waits.sql
\ir 2_capture/not_captured.sql
\ir 2_capture/capture_table.sql
\ir 2_capture/lift_temp_file_limit.sql
\ir 2_capture/keep_row.sql
\ir 2_capture/update_entity_stats_on_insert.sql
\ir 2_capture/capture_delete.sql
\ir 2_capture/capture_update.sql
\ir 2_capture/capture_truncate.sql
\ir 2_capture/guard_killmails.sql
\ir 2_capture/follow_ddl.sql

-- table, state, the one fold
\ir 3_cache/entity_stats_cache.sql
\ir 3_cache/run.sql
\ir 3_cache/run_check.sql
\ir 3_cache/lock_patiently.sql
\ir 3_cache/hold_source.sql
\ir 3_cache/state.sql
\ir 3_cache/time_window.sql
\ir 3_cache/cutoff_at.sql
\ir 3_cache/past.sql
\ir 3_cache/require_autocommit.sql
\ir 3_cache/delta.sql
\ir 3_cache/parties.sql
\ir 3_cache/pending.sql
\ir 3_cache/cached.sql
\ir 3_cache/last_times.sql
\ir 3_cache/add.sql
\ir 3_cache/merge.sql
\ir 3_cache/late.sql
\ir 3_cache/keep_late.sql
\ir 3_cache/fold_at_commit.sql
\ir 3_cache/fold_pending.sql

-- phases, snapshots, finish; truth against cache
\ir 4_backfill/phase.sql
\ir 4_backfill/close_gate.sql
\ir 4_backfill/claim_build.sql
\ir 4_backfill/disturbance.sql
\ir 4_backfill/truth.sql
\ir 4_backfill/drift.sql
\ir 4_backfill/differences.sql
\ir 4_backfill/backfill_begin.sql
\ir 4_backfill/backfill_phase.sql
\ir 4_backfill/backfill_finish.sql
\ir 4_backfill/backfill.sql
\ir 4_backfill/recalculate_entities.sql
\ir 4_backfill/look_at_source.sql
\ir 4_backfill/recalculate.sql
\ir 4_backfill/recalculate_active.sql
\ir 4_backfill/repair.sql

-- history: days and months, closed at night
\ir 5_history/history.sql
\ir 5_history/history_truth.sql
\ir 5_history/close_history.sql
\ir 5_history/apply_late.sql
\ir 5_history/recount_month.sql

-- ageing; who leads, ranks
\ir 5_windows/move_window.sql
\ir 5_windows/leader.sql
\ir 5_windows/mark_leaders.sql
\ir 5_windows/rank_entities.sql
\ir 5_windows/age_window.sql

-- views, read API, leaderboards, summary
\ir 6_reads/overdue_windows.sql
\ir 6_reads/verification.sql
\ir 6_reads/status.sql
\ir 6_reads/stats.sql
\ir 6_reads/source_stats.sql
\ir 6_reads/views.sql
\ir 6_reads/period_bit.sql
\ir 6_reads/in_scope.sql
\ir 6_reads/is_stats_cache_populated.sql
\ir 6_reads/get_entity_stats_from_cache.sql
\ir 6_reads/get_entity_stats_from_view.sql
\ir 6_reads/get_entity_stats.sql
\ir 6_reads/get_character_stats_from_cache.sql
\ir 6_reads/get_corporation_stats_from_cache.sql
\ir 6_reads/get_alliance_stats_from_cache.sql
\ir 6_reads/get_multiple_entity_stats_from_cache.sql
\ir 6_reads/get_top_entities_from_cache.sql
\ir 6_reads/get_top_entities_by_kills_from_cache.sql
\ir 6_reads/get_top_entities_by_efficiency_from_cache.sql
\ir 6_reads/get_entity_rank.sql
\ir 6_reads/get_entity_stats_for_window.sql
\ir 6_reads/read_history.sql
\ir 6_reads/get_entity_history.sql
\ir 6_reads/get_multiple_entity_history.sql
\ir 6_reads/get_entity_history_from_view.sql
\ir 6_reads/get_entity_first_times.sql
\ir 6_reads/history_views.sql
\ir 6_reads/get_counted_killmails.sql

-- what operators look at: the page in the Airflow UI is made of these
\ir 6_reads/windows.sql
\ir 6_reads/progress.sql
\ir 6_reads/explain_entity_stats.sql
\ir 6_reads/get_stats_cache_summary.sql
\ir 6_reads/killmails_per_hour.sql
\ir 6_reads/backlog.sql
\ir 6_reads/history_progress.sql
\ir 6_reads/run_history.sql
\ir 6_reads/repairs.sql
\ir 6_reads/lookup.sql
\ir 6_reads/inactive_entities.sql
\ir 6_reads/deployment.sql

-- roles, ownership, grants
\ir 8_access/roles.sql
\ir 8_access/superseded.sql
\ir 8_access/deployed_functions.sql
\ir 8_access/ownership.sql
\ir 8_access/grants.sql
\ir 8_access/watch_ddl.sql
\ir 8_access/publication.sql

commit;

call entity_stats.look_at_source(adopt => true);
\if :entity_stats_quiet
\else
\pset tuples_only on
\pset format unaligned
select d.* from entity_stats.deployment() as d;
\pset format aligned
\pset tuples_only off
\endif
\set QUIET :entity_stats_quiet
