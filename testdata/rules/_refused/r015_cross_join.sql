/*---
id: refused.r015_cross_join
title: Refused
severity: low
status: experimental
---*/
SELECT a.user_entity
FROM authentication AS a, network AS n
WHERE a.src_ip = n.src_ip
