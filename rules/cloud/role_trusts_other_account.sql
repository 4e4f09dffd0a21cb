/*---
id: cloud.role_trusts_other_account
title: Role opened to another account
severity: high
status: stable
description: A role was created or changed so that principals of another account, or anybody, may assume it.
attack: [TA0003, TA0004, T1098.003, T1078.004]
entity: {actor_user_entity: user, user_entity: user}
risk: 35
suppression: {by: [user_entity], for: 1h}
false_positives:
  - The roles of cloud security and cost products, which live in the vendor's account
blind_spots:
  - A condition in the trust policy that makes it harmless
runbook: Look the account up. If it is not a known partner, restore the trust policy and look for AssumeRole of the role from outside.
references: ["https://attack.mitre.org/techniques/T1098/003/"]
---*/
SELECT time,
       actor_user_entity,
       user_entity,
       event_code,
       new_value AS trust_policy,
       cloud_account_uid,
       src_ip,
       concat(actor_user_entity, ' opened the role ', user_entity, ' to another account') AS title
FROM identity_change
WHERE event_code IN ('CreateRole', 'UpdateAssumeRolePolicy')
  AND status = 'Success'
  AND cloud_account_uid IS NOT NULL  -- lint: allow R033 `replace` fails only past 1 MiB, which no record reaches
  -- An account number other than the own is left once the own is taken out.
  AND (replace(new_value, concat('arn:aws:iam::', cloud_account_uid, ':'), '') LIKE '%arn:aws:iam::%:root%'
       OR replace(new_value, concat('arn:aws:iam::', cloud_account_uid, ':'), '') LIKE '%arn:aws:iam::%:user/%'
       OR replace(new_value, concat('arn:aws:iam::', cloud_account_uid, ':'), '') LIKE '%arn:aws:iam::%:role/%'
       OR new_value LIKE '%"AWS": "*"%'
       OR new_value LIKE '%"AWS":"*"%')
/*--- tests
- name: another account may assume the role
  events:
    - &trust {t: +0s, table: identity_change, source: aws.cloudtrail, change: policy_changed, event_code: UpdateAssumeRolePolicy, status: Success, user_entity: app-role, actor_user_entity: ann, cloud_account_uid: "111122223333", new_value: '{"Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::999988887777:root"},"Action":"sts:AssumeRole"}]}'}
  expect: [{actor_user_entity: ann, user_entity: app-role}]
- name: anybody may assume the role
  events: [{<<: *trust, new_value: '{"Statement":[{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"sts:AssumeRole"}]}'}]
  expect: [{user_entity: app-role}]
- name: trust inside the account is quiet
  events: [{<<: *trust, new_value: '{"Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:root"},"Action":"sts:AssumeRole"}]}'}]
  expect: []
- name: trust in a service is quiet
  events: [{<<: *trust, new_value: '{"Statement":[{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}'}]
  expect: []
---*/
