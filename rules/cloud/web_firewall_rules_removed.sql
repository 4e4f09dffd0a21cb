/*---
id: cloud.web_firewall_rules_removed
title: Rules of the web firewall deleted
severity: medium
status: stable
description: A rule, a group of rules or a whole access list of AWS WAF was deleted, or a list was taken off what it protects.
attack: [TA0005, T1686.001]
entity: {user_entity: user}
risk: 20
suppression: {by: [user_entity], for: 1h}
false_positives:
  - A web application that is taken down
  - A deployment that replaces lists instead of changing them
runbook: Ask who did it. Look at the requests that reached the application since then.
references: ["https://attack.mitre.org/techniques/T1686.001/"]
---*/
SELECT time,
       user_entity,
       api_operation,
       coalesce(json_get_str(request, 'name'), json_get_str(request, 'resourceArn'), json_get_str(request, 'webACLId')) AS list,
       cloud_account_uid,
       cloud_region,
       src_ip,
       concat(user_entity, ' called ', api_operation) AS title
FROM api_activity
WHERE api_service IN ('wafv2.amazonaws.com', 'waf.amazonaws.com', 'waf-regional.amazonaws.com')
  AND api_operation IN ('DeleteWebACL', 'DeleteRuleGroup', 'DeleteRule', 'DeleteIPSet', 'DisassociateWebACL')
  AND status = 'Success'
/*--- tests
- name: a list is deleted
  events:
    - &delete {t: +0s, table: api_activity, api_service: wafv2.amazonaws.com, api_operation: DeleteWebACL, status: Success, user_entity: ann, request: '{"name":"shop","scope":"REGIONAL"}'}
  expect: [{user_entity: ann, list: shop, title: ann called DeleteWebACL}]
- name: a list is taken off a load balancer
  events: [{<<: *delete, api_operation: DisassociateWebACL, request: '{"resourceArn":"arn:aws:elasticloadbalancing:eu-west-1:111122223333:loadbalancer/app/shop/1"}'}]
  expect: [{api_operation: DisassociateWebACL}]
- name: a list is made
  events: [{<<: *delete, api_operation: CreateWebACL}]
  expect: []
- name: a refused deletion is quiet
  events: [{<<: *delete, status: Failure}]
  expect: []
---*/
