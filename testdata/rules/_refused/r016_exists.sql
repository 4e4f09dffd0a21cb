/*---
id: refused.r016_exists
title: Refused
severity: low
status: experimental
---*/
SELECT a.user_entity
FROM authentication AS a
WHERE a.status = 'Success'
  AND EXISTS (SELECT 1 FROM network AS n WHERE n.src_ip = a.src_ip)
