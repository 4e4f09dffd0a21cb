/*---
id: refused.r016_over
title: Refused
severity: low
status: experimental
---*/
SELECT user_entity, count(*) OVER (PARTITION BY user_entity ORDER BY time) AS n
FROM authentication
