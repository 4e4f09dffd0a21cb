/*---
id: hostile.regex_repeat
title: Hostile
severity: low
---*/
SELECT user_entity FROM authentication WHERE regexp_like(user_name, '((((a{1,100}){1,100}){1,100}){1,100})')
