/*---
id: hostile.repeat
title: Hostile
severity: low
---*/
SELECT length(repeat('ab', 2000000000)) AS x, user_entity FROM authentication
