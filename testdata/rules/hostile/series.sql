/*---
id: hostile.series
title: Hostile
severity: low
---*/
SELECT generate_series(1, 1000000000000) AS x FROM authentication
