/*---
id: hostile.star_joins
title: Hostile
severity: low
---*/
SELECT * FROM events e0 CROSS JOIN events e1 CROSS JOIN events e2 CROSS JOIN events e3 CROSS JOIN events e4 CROSS JOIN events e5 CROSS JOIN events e6 CROSS JOIN events e7 CROSS JOIN events e8
