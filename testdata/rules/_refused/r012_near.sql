/*---
id: refused.r012_near
title: Refused
severity: low
status: experimental
---*/
SELECT user_entity, time
FROM authentication
WHERE icontain(user_name, 'root')
