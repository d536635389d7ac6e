create view entity_stats.killmails_are_believable as
select
    'several times' as problem,
    k."killmailId",
    count(*) as killmails,
    min(k."killmailTime") as "firstKillmailTime",
    max(k."killmailTime") as "lastKillmailTime"
from entity_stats.stored_killmail() as k
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
from entity_stats.stored_killmail() as k
where k."killmailTime" > now() + interval '1 minute' or k."killmailTime" = '-infinity'
group by isfinite(k."killmailTime"), k."killmailId";

comment on view entity_stats.killmails_are_believable is
'warn: No killmail of the last 90 days is stored twice, and none lies in the future or at an infinite time.

The same "killmailId" at more than one time is one killmail that was stored again with another time: both count. A killmail in
the future counts in every window until that time has passed, one at an infinite time for ever, and it becomes its entities'' last
kill or loss. The cache is still exact: it counts what is in killmails.

What to do: delete the wrong rows (delete from killmails where "killmailId" = id and "killmailTime" = time, with what is listed),
or correct their times. DELETE and UPDATE correct the cache in their own commit.';
