/*---
id: hostile.union_nested
title: Hostile
severity: low
---*/
((((((((((((((((((SELECT user_entity FROM authentication) UNION ALL SELECT user_entity FROM authentication) UNION ALL SELECT user_entity FROM authentication) UNION ALL SELECT user_entity FROM authentication) UNION ALL SELECT user_entity FROM authentication) UNION ALL SELECT user_entity FROM authentication) UNION ALL SELECT user_entity FROM authentication) UNION ALL SELECT user_entity FROM authentication) UNION ALL SELECT user_entity FROM authentication) UNION ALL SELECT user_entity FROM authentication) UNION ALL SELECT user_entity FROM authentication) UNION ALL SELECT user_entity FROM authentication) UNION ALL SELECT user_entity FROM authentication) UNION ALL SELECT user_entity FROM authentication) UNION ALL SELECT user_entity FROM authentication) UNION ALL SELECT user_entity FROM authentication) UNION ALL SELECT user_entity FROM authentication) UNION ALL SELECT user_entity FROM authentication) UNION ALL SELECT user_entity FROM authentication
