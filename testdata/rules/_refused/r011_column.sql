/*---
id: refused.r011_column
title: Refused
severity: low
status: experimental
---*/
SELECT user_entiy, time
FROM authentication
WHERE status = 'Failure'
