create view entity_stats.closed_days_are_exact as
with drawn as materialized (
    select
        h."closedTo" - 1 as last_day,
        h."daysFrom" + (d.dice % greatest(1, h."closedTo" - h."daysFrom"))::integer as day,
        date_trunc('month', h."firstDay"::timestamp)::date
        + (d.dice * 7919 % greatest(1, h."closedTo" - h."firstDay"))::integer as day_of_month,
        h."closedTo",
        h."daysFrom"
    from entity_stats.history as h
    cross join (select (date_part('epoch', date_trunc('day', now() at time zone 'UTC')) / 86400)::bigint * 48271 as dice) as d
    where isfinite(entity_stats.closed_to())
),

drift as (
    select
        'day' as granularity,
        d.*
    from drawn as w
    cross join lateral entity_stats.history_drift('day', w.last_day, w.last_day + 1) as d
    union all
    select
        'day' as granularity,
        d.*
    from drawn as w
    cross join lateral entity_stats.history_drift('day', w.day, w.day + 1) as d
    where w.day <> w.last_day
    union all
    select
        'month' as granularity,
        d.*
    from drawn as w
    cross join
        lateral entity_stats.history_drift(
            'month',
            date_trunc('month', w.day_of_month::timestamp)::date,
            (date_trunc('month', w.day_of_month::timestamp) + interval '1 month')::date
        ) as d
)

select
    date_trunc('month', d.date::timestamp)::date as month,
    d.granularity,
    d.date,
    d."entityType",
    d."entityId",
    d.kills,
    d.losses,
    d."iskDestroyed",
    d."iskLost",
    d."soloKills",
    d."soloLosses",
    d."npcKills",
    d."npcLosses"
from drift as d
order by d.date, d."entityType", d."entityId";

comment on view entity_stats.closed_days_are_exact is
'fail: The closed days of the history equal a recount of killmails, for every entity, to the last digit. Checked are the last day that
was closed, and one kept day and one month, which are drawn at random each day (UTC). Late and pending facts are taken into
account. The rows show what is missing in the history (negative: what is too much).

What to do: count the months and their days again: select entity_stats.recount_month(month), with the months listed. Then find
the cause: a write that bypassed the triggers of killmails, or a restore.';
