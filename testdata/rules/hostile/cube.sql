/*---
id: hostile.cube
title: Hostile
severity: low
---*/
SELECT count(*) AS n FROM authentication GROUP BY CUBE (user_name, src_ip, status, activity, src_port, dst_ip, dst_port, message, source, vendor, product, tenant, user_uid, user_email, user_domain, user_type, session_uid, src_country, src_city, device_uid), tumble(time, INTERVAL '1 hour')
