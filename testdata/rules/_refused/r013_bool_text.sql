/*---
id: refused.r013_bool_text
title: Refused
severity: low
status: experimental
---*/
SELECT user_entity, time
FROM authentication
WHERE is_mfa = 'maybe'
