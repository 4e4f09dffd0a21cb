/*---
id: refused.r013_case_types
title: Refused
severity: low
status: experimental
---*/
SELECT user_entity, time
FROM authentication
WHERE CASE WHEN is_mfa THEN 1 ELSE user_name END = 'x'
