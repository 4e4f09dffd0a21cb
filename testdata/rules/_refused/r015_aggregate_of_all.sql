/*---
id: refused.r015_aggregate_of_all
title: Refused
severity: low
status: experimental
---*/
SELECT count(*) AS n
FROM authentication
