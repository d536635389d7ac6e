-- The killmails behind the figures of one entity, newest first, a page at a time: as many index entries are read as the page is long.
-- What has the same time and id, both sides of one killmail, is never torn apart, so that time and id say where the next page begins.
create or replace function public.get_counted_killmails(
    entity_id bigint,
    entity_type text,
    period text default 'all',
    page_size integer default 100,
    before_time timestamptz default null,
    before_id bigint default null
)
returns table (
    "killmailId" bigint,
    "killmailTime" timestamptz,
    side text,
    isk numeric,
    solo boolean,
    npc boolean
)
language plpgsql stable security definer -- readers have no right on killmails
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    -- Sorted by itself, each side comes in the order of its index.
    one_side constant text :=
        'select k."killmailId"::bigint as id, k."killmailTime" as time, %L as side, k."totalValue" as value, k.solo, k.npc '
        'from public.killmails as k '
        'where'
        '    k.%I = $1'
        '    and k."killmailTime" >= $2'
        '    and ($3 is null or (k."killmailTime" <= $3 and (k."killmailTime" < $3 or k."killmailId" < $4))) '
        'order by k."killmailTime" desc, k."killmailId" desc '
        'fetch first $5 rows with ties';
    since constant timestamptz := (select w.cutoff from entity_stats.time_window as w where w.period = get_counted_killmails.period);
begin
    perform entity_stats.period_bit(entity_type, period);
    if page_size is null or page_size < 1 then
        raise exception 'a page has at least one killmail, not %', coalesce(page_size::text, 'null')
            using errcode = 'invalid_parameter_value', hint = 'Pass a positive page_size.';
    elsif (before_time is null) <> (before_id is null) then
        raise exception 'a page begins before a time and an id, or at the newest killmail'
            using errcode = 'invalid_parameter_value', hint = 'Pass "killmailTime" and "killmailId" from the last row of the previous page, or neither.';
    end if;

    return query execute format(
        'select p.id, p.time, p.side, entity_stats.isk(p.value), coalesce(p.solo, false), coalesce(p.npc, false) '
        'from ((%s) union all (%s)) as p '
        'order by p.time desc, p.id desc '
        'fetch first $5 rows with ties',
        format(one_side, 'kill', 'topAttacker' || initcap(entity_type) || 'Id'), format(one_side, 'loss', 'victim' || initcap(entity_type) || 'Id')
    )
    using nullif(entity_id, 0), since, before_time, before_id, page_size; -- 0 is nobody
end
$$;

revoke execute on function public.get_counted_killmails(bigint, text, text, integer, timestamptz, bigint) from public;

comment on function public.get_counted_killmails(bigint, text, text, integer, timestamptz, bigint) is
'The killmails that count for one entity (entity_type character, corporation or alliance) in a period (all, 90d, 30d, 14d), newest first, ids '
'descending within the same time, in pages of page_size: side kill or loss (who is on both sides gets both rows, on one page), ISK, flags without '
'nulls. The next page: before_time and before_id are "killmailTime" and "killmailId" of the last row, to the microsecond (pass a text where your '
'driver''s times are coarser); no row: there is none. Straight from killmails, so what is pending is there already: the pages of a period add up to '
'counted of explain_entity_stats(). Arguments that are wrong are an error (22023).';
