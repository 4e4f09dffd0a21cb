/*---
id: refused.r016_limit
title: Refused
severity: low
status: experimental
---*/
SELECT user_entity, time
FROM authentication
WHERE status = 'Failure'
LIMIT 10
