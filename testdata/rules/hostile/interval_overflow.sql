/*---
id: hostile.interval_overflow
title: Hostile
severity: low
---*/
SELECT user_entity FROM authentication WHERE first_seen(INTERVAL '9223372036854775807 days', user_entity)
