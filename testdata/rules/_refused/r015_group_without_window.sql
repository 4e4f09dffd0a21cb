/*---
id: refused.r015_group_without_window
title: Refused
severity: low
status: experimental
---*/
SELECT user_entity, count(*) AS n
FROM authentication
WHERE status = 'Failure'
GROUP BY user_entity
HAVING count(*) >= 5
