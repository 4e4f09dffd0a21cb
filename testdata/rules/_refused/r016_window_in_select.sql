/*---
id: refused.r016_window_in_select
title: Refused
severity: low
status: experimental
---*/
SELECT sliding(time, INTERVAL '5 minutes') AS w
FROM authentication
