/*---
id: refused.r016_aggregate
title: Refused
severity: low
status: experimental
---*/
SELECT user_entity, array_agg(src_ip) AS ips
FROM authentication
GROUP BY user_entity, sliding(time, INTERVAL '10 minutes')
