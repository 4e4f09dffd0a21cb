/*---
id: refused.r010_now
title: Refused
severity: low
status: experimental
---*/
SELECT user_entity, time
FROM authentication
WHERE status = 'Failure'
  AND time > now() - INTERVAL '1 hour'
