-- THE order. psql reads it with \ir; the DAGs' deploy task reads the same lines. Transactions begin and end here and in
-- look_at_source() only: one creates everything but the triggers on killmails, which follow one node at a time because each of
-- them waits for that node's writers. Deployed unchanged, neither locks killmails.
--   psql -v ON_ERROR_STOP=1 -f sql/deploy.sql      prints what is deployed, and what to do next; with --quiet, nothing
-- Upgrades run the same file. Functions and triggers are replaced; what changes the result type of a public function drops it first,
-- in its own file; claims are dropped before all else, because they stand on both, and made again. Tables hold data and are created once:
-- a file that changes its table changes CREATE TABLE IF NOT EXISTS, and 01_source/earlier_versions.sql asks the catalog what is
-- missing and alters only then, under locks that it takes at once. ALTER TABLE ... IF NOT EXISTS locks out everybody even when there
-- is nothing to do.
\set entity_stats_quiet :QUIET
\set QUIET on
begin;
set local client_min_messages = warning; -- "already exists, skipping" is how a redeploy should be
set local check_function_bodies = off; -- BEGIN ATOMIC is bound all the same; the check would lock killmails

-- what we need of killmails, what the cache stands on, exact ISK
\ir 01_source/preflight.sql
\ir 01_source/schema.sql
\ir 01_source/lock_with_retries.sql
\ir 01_source/earlier_versions.sql
\ir 01_source/nodes.sql
\ir 01_source/source.sql
\ir 01_source/source_changes.sql
\ir 01_source/hold_source.sql
\ir 01_source/isk.sql
\ir 01_source/killmail.sql
\ir 01_source/killmail_party.sql
\ir 01_source/totals.sql
\ir 01_source/totals_by_role.sql
\ir 01_source/totals_by_date.sql

-- triggers: write signed facts, nothing else
\ir 02_capture/fact.sql
\ir 02_capture/ledger.sql
\ir 02_capture/aside.sql
\ir 02_capture/entity_stats_invalidation.sql
\ir 02_capture/is_captured.sql
\ir 02_capture/pending_reason.sql
\ir 02_capture/not_captured.sql
\ir 02_capture/capture_table.sql
\ir 02_capture/lift_temp_file_limit.sql
\ir 02_capture/keep_row.sql
\ir 02_capture/update_entity_stats_on_insert.sql
\ir 02_capture/capture_delete.sql
\ir 02_capture/capture_update.sql
\ir 02_capture/capture_truncate.sql
\ir 02_capture/guard_killmails.sql
\ir 02_capture/follow_ddl.sql

-- table, state, the one fold
\ir 03_cache/entity_stats_cache.sql
\ir 03_cache/state.sql
\ir 03_cache/time_window.sql
\ir 03_cache/cutoff_at.sql
\ir 03_cache/require_past.sql
\ir 03_cache/require_autocommit.sql
\ir 03_cache/require_read_committed.sql
\ir 03_cache/close_gate.sql
\ir 03_cache/delta.sql
\ir 03_cache/parties.sql
\ir 03_cache/pending.sql
\ir 03_cache/cached.sql
\ir 03_cache/last_times.sql
\ir 03_cache/add.sql
\ir 03_cache/merge.sql
\ir 03_cache/late.sql
\ir 03_cache/keep_late.sql
\ir 03_cache/fold_at_commit.sql
\ir 03_cache/fold_pending.sql

-- killmails leave the windows
\ir 04_ageing/move_window.sql
\ir 04_ageing/age_window.sql

-- phases, snapshots, finish
\ir 05_backfill/phase.sql
\ir 05_backfill/lock_build.sql
\ir 05_backfill/disturbance.sql
\ir 05_backfill/slices.sql
\ir 05_backfill/clear_staging.sql
\ir 05_backfill/clear_wrong_rows.sql
\ir 05_backfill/prepare_build.sql
\ir 05_backfill/backfill_begin.sql
\ir 05_backfill/load_part.sql
\ir 05_backfill/build_slice.sql
\ir 05_backfill/backfill_phase.sql
\ir 05_backfill/finish_loading.sql
\ir 05_backfill/absorb.sql
\ir 05_backfill/open_cache.sql
\ir 05_backfill/finish_range.sql
\ir 05_backfill/discard_staging.sql
\ir 05_backfill/backfill_finish.sql
\ir 05_backfill/backfill.sql

-- truth against cache: drift, differences, recalculation
\ir 06_recalculation/truth.sql
\ir 06_recalculation/drift.sql
\ir 06_recalculation/differences.sql
\ir 06_recalculation/correction.sql
\ir 06_recalculation/recalculate_entities.sql
\ir 06_recalculation/recalculate.sql
\ir 06_recalculation/recalculate_active.sql
\ir 06_recalculation/look_at_source.sql

-- days and months, closed at night
\ir 07_history/history.sql
\ir 07_history/history_truth.sql
\ir 07_history/lock_history.sql
\ir 07_history/add_partitions.sql
\ir 07_history/make_room.sql
\ir 07_history/count_history.sql
\ir 07_history/open_late.sql
\ir 07_history/close_range.sql
\ir 07_history/drop_old_days.sql
\ir 07_history/close_history.sql
\ir 07_history/fill_history.sql
\ir 07_history/drop_history.sql
\ir 07_history/apply_late.sql
\ir 07_history/recount_month.sql

-- views, read API
\ir 08_reads/period_bit.sql
\ir 08_reads/stats.sql
\ir 08_reads/source_stats.sql
\ir 08_reads/views.sql
\ir 08_reads/is_stats_cache_populated.sql
\ir 08_reads/get_entity_stats_from_cache.sql
\ir 08_reads/get_entity_stats_from_view.sql
\ir 08_reads/get_entity_stats.sql
\ir 08_reads/get_character_stats_from_cache.sql
\ir 08_reads/get_corporation_stats_from_cache.sql
\ir 08_reads/get_alliance_stats_from_cache.sql
\ir 08_reads/get_multiple_entity_stats_from_cache.sql
\ir 08_reads/get_entity_stats_for_window.sql
\ir 08_reads/read_history.sql
\ir 08_reads/get_entity_history.sql
\ir 08_reads/get_multiple_entity_history.sql
\ir 08_reads/get_entity_history_from_view.sql
\ir 08_reads/get_entity_first_times.sql
\ir 08_reads/history_views.sql

-- lists of leaders and ranks: filing, reads
\ir 09_leaderboards/mark.sql
\ir 09_leaderboards/in_scope.sql
\ir 09_leaderboards/figure.sql
\ir 09_leaderboards/mark_leaders.sql
\ir 09_leaderboards/get_top_entities_from_cache.sql
\ir 09_leaderboards/get_top_entities_by_kills_from_cache.sql
\ir 09_leaderboards/get_top_entities_by_efficiency_from_cache.sql
\ir 09_leaderboards/rank_entities.sql
\ir 09_leaderboards/get_entity_rank.sql

-- runs, status, progress: what operators and the page in the Airflow UI look at
\ir 10_operations/run.sql
\ir 10_operations/run_check.sql
\ir 10_operations/repair.sql
\ir 10_operations/overdue_windows.sql
\ir 10_operations/verification.sql
\ir 10_operations/status.sql
\ir 10_operations/windows.sql
\ir 10_operations/progress.sql
\ir 10_operations/get_counted_killmails.sql
\ir 10_operations/explain_entity_stats.sql
\ir 10_operations/get_stats_cache_summary.sql
\ir 10_operations/killmails_per_hour.sql
\ir 10_operations/backlog.sql
\ir 10_operations/history_progress.sql
\ir 10_operations/run_history.sql
\ir 10_operations/repairs.sql
\ir 10_operations/lookup.sql
\ir 10_operations/inactive_entities.sql
\ir 10_operations/deployment.sql
\ir 10_operations/claims.sql

-- one claim each; offending rows, empty = healthy. First what fails, then what warns, then what compares everything
\ir 11_checks/cache_is_ready.sql
\ir 11_checks/closed_days_are_exact.sql
\ir 11_checks/counters_are_possible.sql
\ir 11_checks/cutoffs_are_fresh.sql
\ir 11_checks/killmails_are_guarded.sql
\ir 11_checks/last_times_are_right.sql
\ir 11_checks/leaderboards_find_everybody.sql
\ir 11_checks/ledger_is_drained.sql
\ir 11_checks/ranks_are_right.sql
\ir 11_checks/sampled_entities_are_exact.sql
\ir 11_checks/values_are_finite.sql
\ir 11_checks/windows_are_exact.sql
\ir 11_checks/windows_are_nested.sql

\ir 11_checks/dead_rows_are_few.sql
\ir 11_checks/entities_do_not_vanish.sql
\ir 11_checks/killmails_are_believable.sql
\ir 11_checks/killmails_have_values.sql
\ir 11_checks/pending_facts_are_few.sql
\ir 11_checks/size_is_as_usual.sql
\ir 11_checks/updates_are_hot.sql

\ir 11_checks/alliances_are_exact.sql
\ir 11_checks/characters_are_exact.sql
\ir 11_checks/corporations_are_exact.sql
\ir 11_checks/history_is_exact.sql
\ir 11_checks/months_add_up.sql
\ir 11_checks/totals_are_conserved.sql

-- roles, ownership, grants
\ir 12_access/roles.sql
\ir 12_access/deployed_functions.sql
\ir 12_access/deployed_relations.sql
\ir 12_access/drop_superseded.sql
\ir 12_access/superseded.sql
\ir 12_access/ownership.sql
\ir 12_access/grants.sql
\ir 12_access/watch_ddl.sql
\ir 12_access/publication.sql

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
