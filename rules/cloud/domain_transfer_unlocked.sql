/*---
id: cloud.domain_transfer_unlocked
title: Domain unlocked for a transfer, or transferred
severity: high
status: stable
description: The lock that keeps a registered domain from being moved away was taken off, or the domain was given to another account.
attack: [TA0042, T1584.001]
entity: {user_entity: user}
risk: 30
suppression: {by: [user_entity, domain], for: 1h}
false_positives:
  - A domain that moves to another registrar or account as planned
runbook: Ask the owner of the domain. If it was not planned, lock it again, stop the transfer, and look at where its name servers point.
references: ["https://attack.mitre.org/techniques/T1584/001/"]
---*/
SELECT time,
       user_entity,
       api_operation,
       json_get_str(request, 'domainName') AS domain,
       json_get_str(request, 'accountId') AS to_account,
       cloud_account_uid,
       src_ip,
       concat(user_entity, ' called ', api_operation, ' for ', json_get_str(request, 'domainName')) AS title
FROM api_activity
WHERE api_service = 'route53domains.amazonaws.com'
  AND api_operation IN ('DisableDomainTransferLock', 'TransferDomainToAnotherAwsAccount')
  AND status = 'Success'
/*--- tests
- name: the lock is taken off
  events:
    - &unlock {t: +0s, table: api_activity, api_service: route53domains.amazonaws.com, api_operation: DisableDomainTransferLock, status: Success, user_entity: ann, request: '{"domainName":"example.com"}'}
  expect: [{user_entity: ann, domain: example.com, title: ann called DisableDomainTransferLock for example.com}]
- name: given to another account
  events: [{<<: *unlock, api_operation: TransferDomainToAnotherAwsAccount, request: '{"domainName":"example.com","accountId":"444455556666"}'}]
  expect: [{to_account: "444455556666"}]
- name: the lock is put on
  events: [{<<: *unlock, api_operation: EnableDomainTransferLock}]
  expect: []
- name: a refused attempt is quiet
  events: [{<<: *unlock, status: Failure}]
  expect: []
---*/
