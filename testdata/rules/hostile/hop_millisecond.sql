/*---
id: hostile.hop_millisecond
title: Hostile
severity: low
---*/
SELECT user_entity, count(*) AS n FROM authentication GROUP BY user_entity, hop(time, INTERVAL '1 millisecond', INTERVAL '365 days') HAVING count(*) > 1
