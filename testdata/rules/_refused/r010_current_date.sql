/*---
id: refused.r010_current_date
title: Refused
severity: low
status: experimental
---*/
SELECT user_entity, time
FROM authentication
WHERE time >= current_date
