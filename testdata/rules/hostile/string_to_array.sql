/*---
id: hostile.string_to_array
title: Hostile
severity: low
---*/
SELECT array_length(string_to_array(repeat('a,', 500000), ',')) AS x FROM authentication
