/*---
id: refused.r011_table
title: Refused
severity: low
status: experimental
---*/
SELECT user_entity, time
FROM authentications
WHERE status = 'Failure'
