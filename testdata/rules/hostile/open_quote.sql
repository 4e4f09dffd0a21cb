/*---
id: hostile.open_quote
title: Hostile
severity: low
---*/
SELECT 'user_entity FROM authentication
