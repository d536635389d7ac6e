-- Everything that is known about an id, whatever it is the id of: the three types number their entities independently.
create or replace function entity_stats.lookup(entity_id bigint)
returns table (period text, stats entity_stats.stats)
language sql stable
begin atomic
    select w.period, s as stats
    from (values (1, 'character'), (2, 'corporation'), (3, 'alliance')) as t (place, type)
    cross join entity_stats.time_window as w
    cross join lateral public.get_entity_stats(lookup.entity_id, t.type, w.period) as s
    order by t.place, w.bit;
end;

comment on function entity_stats.lookup(bigint) is
'Stats in all periods of the character, corporation and alliance of an id, as the read API answers; no row: unknown.';
