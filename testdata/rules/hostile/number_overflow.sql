/*---
id: hostile.number_overflow
title: Hostile
severity: low
---*/
SELECT user_entity FROM authentication WHERE src_port > 99999999999999999999999999999999999999999999999999
