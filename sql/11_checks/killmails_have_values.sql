create view entity_stats.killmails_have_values as
select
    case
        when k."totalValue" is null then 'null'
        when k."totalValue" < 0 and k."totalValue" <> '-Infinity' then 'negative'
        else k."totalValue"::text
    end as value,
    count(*) as killmails,
    min(k."killmailTime") as "firstKillmailTime",
    max(k."killmailTime") as "lastKillmailTime"
from entity_stats.stored_killmail() as k
where
    k."killmailTime" >= now() - interval '90 days'
    and not k.usable
group by 1;

comment on view entity_stats.killmails_have_values is
'warn: Every killmail of the last 90 days has a value that can be counted: not null, finite, not negative.

Null, NaN and infinite values count as 0 ISK; negative values count as they are. The cache is still exact: it counts what is
in killmails.

What to do: correct the prices at their source: update killmails set "totalValue" = isk where "killmailId" = id. It corrects the
cache in its own commit.';
