/*---
id: refused.r016_two_windows
title: Refused
severity: low
status: experimental
---*/
SELECT user_entity, count(*) AS n
FROM authentication
WHERE status = 'Failure'
GROUP BY user_entity, tumble(time, INTERVAL '5 minutes'), sliding(time, INTERVAL '10 minutes')
