-- What a leaderboard is ordered by. Who has the same figure comes by kills, then by id.
create or replace function entity_stats.figure(s entity_stats.stats, metric text)
returns table (figure numeric)
language sql stable
begin atomic
    select case metric when 'kills' then s.kills when 'isk' then s."iskDestroyed" when 'solo' then s."soloKills" else s.efficiency end as figure;
end;

comment on function entity_stats.figure(entity_stats.stats, text) is 'The figure that a list is ordered by. Inlined into the calling query.';
