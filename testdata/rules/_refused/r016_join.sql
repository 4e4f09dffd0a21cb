/*---
id: refused.r016_join
title: Refused
severity: low
status: experimental
---*/
SELECT a.user_entity
FROM authentication AS a
JOIN network AS n ON a.src_ip = n.src_ip
