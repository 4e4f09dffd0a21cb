/*---
id: refused.r016_in_select
title: Refused
severity: low
status: experimental
---*/
SELECT user_entity, time
FROM authentication
WHERE user_name IN (SELECT user_name FROM process)
