/*---
id: refused.r016_union
title: Refused
severity: low
status: experimental
---*/
SELECT user_entity FROM authentication
UNION
SELECT user_entity FROM network
