/*---
id: refused.r016_baseline_table
title: A rule reads what a baseline knows
severity: low
status: experimental
---*/
SELECT a.user_entity, a.time
FROM authentication AS a
  JOIN baseline.user_signin AS b ON b.entity = a.user_entity
