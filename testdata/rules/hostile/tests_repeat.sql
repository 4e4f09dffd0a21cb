/*---
id: hostile.tests_repeat
title: Hostile
severity: low
---*/
SELECT user_entity FROM authentication
/*--- tests
- name: x
  events: [{t: +0s, table: authentication, user_entity: a, repeat: 99999999999, every: 1ms}]
  expect: []
---*/
