/*---
id: hostile.repeat_where
title: Hostile
severity: low
---*/
SELECT user_entity FROM authentication WHERE user_name = repeat('a', 1900000000)
