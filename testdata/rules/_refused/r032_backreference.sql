/*---
id: refused.r032_backreference
title: Refused
severity: low
status: experimental
---*/
SELECT user_entity, time
FROM authentication
WHERE user_name ~ '(a)\1'
