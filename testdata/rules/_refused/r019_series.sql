/*---
id: refused.r019_series
title: Refused
severity: low
status: experimental
---*/
SELECT *
FROM generate_series(1, 1000000)
