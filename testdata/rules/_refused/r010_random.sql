/*---
id: refused.r010_random
title: Refused
severity: low
status: experimental
---*/
SELECT user_entity, time
FROM authentication
WHERE random() < 0.1
