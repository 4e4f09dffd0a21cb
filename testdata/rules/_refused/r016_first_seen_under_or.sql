/*---
id: refused.r016_first_seen_under_or
title: Refused
severity: low
status: experimental
---*/
SELECT user_entity, time
FROM authentication
WHERE status = 'Success'
   OR first_seen(INTERVAL '14 days', user_entity, src_country)
