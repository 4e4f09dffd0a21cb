/*---
id: refused.r016_aggregate
title: Refused
severity: low
status: experimental
---*/
SELECT user_entity, first_value(src_ip) AS ip
FROM authentication
GROUP BY user_entity, sliding(time, INTERVAL '10 minutes')
