/*---
id: refused.r012_function
title: Refused
severity: low
status: experimental
---*/
SELECT user_entity, time
FROM authentication
WHERE lowercase(user_name) = 'root'
