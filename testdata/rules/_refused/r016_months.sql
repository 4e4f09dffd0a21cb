/*---
id: refused.r016_months
title: Refused
severity: low
status: experimental
---*/
SELECT user_entity, count(*) AS n
FROM authentication
WHERE status = 'Failure'
GROUP BY user_entity, tumble(time, INTERVAL '1 month')
HAVING count(*) >= 5
