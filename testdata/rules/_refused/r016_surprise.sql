/*---
id: refused.r016_surprise
title: A window over rows that ask a baseline
severity: low
status: experimental
---*/
SELECT user_entity, count(*) AS n
FROM authentication
WHERE surprise('user_signin', 'country', user_entity, src_country) > 5
GROUP BY user_entity, sliding(time, INTERVAL '1 hour')
HAVING count(*) >= 3
