/*---
id: refused.r016_surprise
title: A rule asks what a baseline knows
severity: low
status: experimental
---*/
SELECT user_entity, time
FROM authentication
WHERE surprise('user_signin', 'country', user_entity, src_country) > 5
