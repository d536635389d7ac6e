-- No killmail of the last 90 days is there twice, and none lies in the future or at an infinite time.
--
-- The same "killmailId" at more than one time is one killmail that was stored again with another time: both count. A time in the
-- future counts in every window until it has come and gone, an infinite one for ever, and an entity's last kill or loss is then. The
-- cache is exact all the same: it counts what killmails has.
--
-- What to do: delete the rows that are wrong, or mend their times. DELETE and UPDATE correct the cache in their own commit.
select
    'several times' as problem,
    k."killmailId",
    count(*) as killmails,
    min(k."killmailTime") as "firstKillmailTime",
    max(k."killmailTime") as "lastKillmailTime"
from public.killmails as k
where k."killmailTime" >= now() - interval '90 days'
group by k."killmailId"
having min(k."killmailTime") <> max(k."killmailTime")
union all
select
    case when isfinite(k."killmailTime") then 'in the future' else 'at no time' end as problem,
    k."killmailId",
    count(*) as killmails,
    min(k."killmailTime") as "firstKillmailTime",
    max(k."killmailTime") as "lastKillmailTime"
from public.killmails as k
where k."killmailTime" > now() + interval '1 minute' or k."killmailTime" = '-infinity'
group by isfinite(k."killmailTime"), k."killmailId";
