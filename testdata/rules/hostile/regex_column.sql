/*---
id: hostile.regex_column
title: Hostile
severity: low
---*/
SELECT user_entity FROM authentication WHERE regexp_like(message, user_name)
