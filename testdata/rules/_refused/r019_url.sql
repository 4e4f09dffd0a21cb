/*---
id: refused.r019_url
title: Refused
severity: low
status: experimental
---*/
SELECT *
FROM "https://example.com/logins.parquet"
