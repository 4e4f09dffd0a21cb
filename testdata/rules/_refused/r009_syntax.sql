/*---
id: refused.r009_syntax
title: Refused
severity: low
status: experimental
---*/
SELECT user_entity time user_name
FROM authentication
WHERE AND status = 'x'
