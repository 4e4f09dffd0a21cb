/*---
id: refused.r013_list_number
title: Refused
severity: low
status: experimental
---*/
SELECT user_entity, time
FROM authentication
WHERE mfa_factors = 5
