/*---
id: hostile.tests_many
title: Hostile
severity: low
---*/
SELECT user_entity FROM authentication
/*--- tests
- name: x
  events:
    - {t: +0s, table: authentication, user_entity: a, repeat: 100000}
    - {t: +0s, table: authentication, user_entity: a, repeat: 100000}
    - {t: +0s, table: authentication, user_entity: a, repeat: 100000}
    - {t: +0s, table: authentication, user_entity: a, repeat: 100000}
    - {t: +0s, table: authentication, user_entity: a, repeat: 100000}
    - {t: +0s, table: authentication, user_entity: a, repeat: 100000}
    - {t: +0s, table: authentication, user_entity: a, repeat: 100000}
    - {t: +0s, table: authentication, user_entity: a, repeat: 100000}
    - {t: +0s, table: authentication, user_entity: a, repeat: 100000}
    - {t: +0s, table: authentication, user_entity: a, repeat: 100000}
    - {t: +0s, table: authentication, user_entity: a, repeat: 100000}
    - {t: +0s, table: authentication, user_entity: a, repeat: 100000}
    - {t: +0s, table: authentication, user_entity: a, repeat: 100000}
    - {t: +0s, table: authentication, user_entity: a, repeat: 100000}
    - {t: +0s, table: authentication, user_entity: a, repeat: 100000}
    - {t: +0s, table: authentication, user_entity: a, repeat: 100000}
    - {t: +0s, table: authentication, user_entity: a, repeat: 100000}
    - {t: +0s, table: authentication, user_entity: a, repeat: 100000}
    - {t: +0s, table: authentication, user_entity: a, repeat: 100000}
    - {t: +0s, table: authentication, user_entity: a, repeat: 100000}
  expect: []
---*/
