/*---
id: refused.r019_file
title: Refused
severity: low
status: experimental
---*/
SELECT *
FROM 'logins.csv'
