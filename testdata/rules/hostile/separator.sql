/*---
id: hostile.separator
title: Hostile
severity: low
---*/
SELECT array_to_string(string_to_array(repeat('a,', 400000), ','), repeat('b', 400000)) AS x FROM authentication
