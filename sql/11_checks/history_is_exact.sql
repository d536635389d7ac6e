create view entity_stats.history_is_exact as
select
    date_trunc('month', d.date::timestamp)::date as month,
    d.granularity,
    count(*) as rows,
    sum(d.kills) as kills,
    sum(d.losses) as losses,
    sum(d."iskDestroyed") as "iskDestroyed",
    sum(d."iskLost") as "iskLost",
    sum(d."soloKills") as "soloKills",
    sum(d."soloLosses") as "soloLosses",
    sum(d."npcKills") as "npcKills",
    sum(d."npcLosses") as "npcLosses"
from (
    select
        'day' as granularity,
        y.*
    from entity_stats.history_drift('day', '-infinity', 'infinity') as y
    union all
    select
        'month' as granularity,
        m.*
    from entity_stats.history_drift('month', '-infinity', 'infinity') as m
) as d
where isfinite(entity_stats.closed_to())
group by date_trunc('month', d.date::timestamp), d.granularity
order by date_trunc('month', d.date::timestamp), d.granularity;

comment on view entity_stats.history_is_exact is
'full: Every closed month of the history, and every day that is kept, equals a recount of killmails, for every entity, to the last
digit. Late and pending facts are taken into account. The rows show what is missing in the history (negative: what is too much).

What to do: count the months and their days again: select entity_stats.recount_month(month), with the months listed. Then find
the cause: a write that bypassed the triggers of killmails, or a restore.';
