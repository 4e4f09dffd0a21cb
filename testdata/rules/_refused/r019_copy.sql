/*---
id: refused.r019_copy
title: Refused
severity: low
status: experimental
---*/
COPY (SELECT user_entity FROM authentication)
TO 'out.csv'
