/*---
id: refused.r016_over_rows
title: Refused
severity: low
status: experimental
---*/
SELECT user_entity,
       count(*) OVER (PARTITION BY user_entity ORDER BY time ROWS BETWEEN 5 PRECEDING AND CURRENT ROW) AS n
FROM authentication
