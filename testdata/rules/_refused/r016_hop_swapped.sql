/*---
id: refused.r016_hop_swapped
title: Refused
severity: low
status: experimental
---*/
SELECT user_entity, count(*) AS n
FROM authentication
WHERE status = 'Failure'
GROUP BY user_entity, hop(time, INTERVAL '1 hour', INTERVAL '5 minutes')
HAVING count(*) >= 5
