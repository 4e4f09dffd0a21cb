/*---
id: refused.r016_distinct
title: Refused
severity: low
status: experimental
---*/
SELECT DISTINCT user_entity
FROM authentication
