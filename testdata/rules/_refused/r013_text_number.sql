/*---
id: refused.r013_text_number
title: Refused
severity: low
status: experimental
---*/
SELECT user_entity, time
FROM authentication
WHERE status = 5
