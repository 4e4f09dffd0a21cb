/*---
id: refused.r016_order_by
title: Refused
severity: low
status: experimental
---*/
SELECT user_entity, time
FROM authentication
WHERE status = 'Failure'
ORDER BY time
