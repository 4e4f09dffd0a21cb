/*---
id: refused.r019_two_statements
title: Refused
severity: low
status: experimental
---*/
SELECT user_entity FROM authentication;
SELECT user_entity FROM network
