/*---
id: refused.r032_look_around
title: Refused
severity: low
status: experimental
---*/
SELECT user_entity, time
FROM authentication
WHERE regexp_like(user_name, '^(?!admin)')
