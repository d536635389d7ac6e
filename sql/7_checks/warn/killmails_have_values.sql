-- Every killmail of the last 90 days has a value that can be counted: not null, finite, not negative.
--
-- Null, NaN and infinite values count as 0 ISK; negative values count as they are. The cache is still exact: it counts what is
-- in killmails.
--
-- What to do: correct the prices at their source. An UPDATE of "totalValue" corrects the cache in its own commit.
select
    case
        when k."totalValue" is null then 'null'
        when k."totalValue" < 0 and k."totalValue" <> '-Infinity' then 'negative'
        else k."totalValue"::text
    end as value,
    count(*) as killmails,
    min(k."killmailTime") as "firstKillmailTime",
    max(k."killmailTime") as "lastKillmailTime"
from public.killmails as k
where
    k."killmailTime" >= now() - interval '90 days'
    and (k."totalValue" is null or k."totalValue" < 0 or k."totalValue" in ('NaN', 'Infinity'))
group by 1;
