-- The lists of leaders as leaderboards read them.
create or replace function entity_stats.leaders(in_list integer, entity_type text, period_bit integer)
returns setof entity_stats.delta
language sql stable
begin atomic
    select c.*
    from entity_stats.leader as l
    inner join entity_stats.cached() as c on l."entityId" = c."entityId"
    where l.list = leaders.in_list and c."entityType" = leaders.entity_type and c.periods = leaders.period_bit;
end;

comment on function entity_stats.leaders(integer, text, integer) is
'The live rows of who is on a list, in its period. Inlined into the calling query.';
