/*---
id: hostile.hop_second
title: Hostile
severity: low
---*/
SELECT user_entity, count(*) AS n FROM authentication GROUP BY user_entity, hop(time, INTERVAL '1 second', INTERVAL '1 day') HAVING count(*) > 1
