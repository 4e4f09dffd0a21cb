/*---
id: refused.r019_ddl
title: Refused
severity: low
status: experimental
---*/
CREATE TABLE t AS
SELECT user_entity FROM authentication
