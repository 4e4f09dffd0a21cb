/*---
id: cloud.security_group_opened_to_world
title: Administration port opened to the Internet
severity: high
status: stable
description: A security group was opened to every address for SSH, RDP, WinRM, a database or all ports.
attack: [TA0001, TA0112, T1686.001, T1133]
entity: {user_entity: user}
risk: 25
suppression: {by: [user_entity, resource_uid], for: 1h}
false_positives:
  - A public bastion host, which should have a rule set of its own
blind_spots:
  - A wide range of ports that starts elsewhere
runbook: Close it. Look in the flow log for who connected since.
references: ["https://attack.mitre.org/techniques/T1686/001/"]
---*/
SELECT time,
       user_entity,
       api_operation,
       resource_uid,
       cloud_account_uid,
       cloud_region,
       src_ip,
       request,
       concat(user_entity, ' opened ', coalesce(resource_uid, 'a security group'), ' to the Internet') AS title
FROM api_activity
WHERE api_operation IN ('AuthorizeSecurityGroupIngress', 'ModifySecurityGroupRules')
  AND status = 'Success'
  -- Any address with prefix length zero is the world.
  AND request LIKE '%/0"%'
  AND (regexp_like(request, '"fromPort": ?"?(0|22|3389|5985|5986|1433|3306|5432|6379|9200|27017)"?[,}\s]')
       OR regexp_like(request, '"(ipProtocol|protocol)": ?"-1"'))
/*--- tests
- name: SSH from everywhere
  events:
    - &open {t: +0s, table: api_activity, api_operation: AuthorizeSecurityGroupIngress, status: Success, user_entity: ann, resource_uid: sg-1, request: '{"groupId":"sg-1","ipPermissions":{"items":[{"ipProtocol":"tcp","fromPort":22,"toPort":22,"ipRanges":{"items":[{"cidrIp":"0.0.0.0/0"}]}}]}}'}
  expect: [{user_entity: ann, resource_uid: sg-1, title: ann opened sg-1 to the Internet}]
- name: everything from every IPv6 address
  events: [{<<: *open, request: '{"groupId":"sg-1","ipPermissions":{"items":[{"ipProtocol":"-1","ipv6Ranges":{"items":[{"cidrIpv6":"::/0"}]}}]}}'}]
  expect: [{resource_uid: sg-1}]
- name: SSH from one network is quiet
  events: [{<<: *open, request: '{"groupId":"sg-1","ipPermissions":{"items":[{"ipProtocol":"tcp","fromPort":22,"toPort":22,"ipRanges":{"items":[{"cidrIp":"203.0.113.0/24"}]}}]}}'}]
  expect: []
- name: a web server for everybody is quiet
  events: [{<<: *open, request: '{"groupId":"sg-1","ipPermissions":{"items":[{"ipProtocol":"tcp","fromPort":443,"toPort":443,"ipRanges":{"items":[{"cidrIp":"0.0.0.0/0"}]}}]}}'}]
  expect: []
---*/
