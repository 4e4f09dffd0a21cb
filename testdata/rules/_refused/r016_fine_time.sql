/*---
id: refused.r016_fine_time
title: Refused
severity: low
status: experimental
---*/
SELECT user_entity, time
FROM authentication
WHERE time >= '2026-01-01T00:00:00.0005Z'
