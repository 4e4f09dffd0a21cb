/*---
id: refused.r013_function_types
title: Refused
severity: low
status: experimental
---*/
SELECT user_entity, time
FROM authentication
WHERE icontains(src_port, '44')
