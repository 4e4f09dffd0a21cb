/*---
id: identity.federation_changed
title: Trust in an identity provider or certificate authority changed
severity: high
status: stable
description: An identity provider, SAML or OIDC trust, or a certificate trust anchor was created or changed. Whoever controls it signs in as anybody.
attack: [TA0004, T1484.002]
entity: {actor_user_entity: user}
risk: 35
suppression: {by: [actor_user_entity], for: 1h}
false_positives:
  - A planned roll-out of single sign-on or of workload certificates
runbook: Confirm the change with its owner. If unknown, disable the trust first, then look for sign-ins through it.
references: ["https://attack.mitre.org/techniques/T1484/002/"]
---*/
SELECT time,
       actor_user_entity,
       event_code,
       target_app,
       source,
       cloud_account_uid,
       src_ip,
       concat(actor_user_entity, ' changed a sign-in trust: ', event_code, CASE WHEN target_app IS NOT NULL THEN concat(' (', target_app, ')') ELSE '' END) AS title
FROM identity_change
WHERE change = 'federation_changed'
  AND status = 'Success'
  -- IAM Identity Center keeps the trust in each account itself.
  AND (actor_user_name = 'AWSServiceRoleForSSO') IS NOT TRUE
/*--- tests
- name: a trust anchor for workload certificates
  events:
    - &trust {t: +0s, table: identity_change, source: aws.cloudtrail, change: federation_changed, status: Success, actor_user_entity: ann, event_code: CreateTrustAnchor, target_app: new-anchor}
  expect: [{actor_user_entity: ann, event_code: CreateTrustAnchor, title: "ann changed a sign-in trust: CreateTrustAnchor (new-anchor)"}]
- name: a new identity provider in Okta
  events: [{<<: *trust, source: okta.system, event_code: system.idp.lifecycle.create, target_app: null}]
  expect: [{source: okta.system}]
- name: the service that keeps the trust of single sign-on is quiet
  events: [{<<: *trust, event_code: UpdateSAMLProvider, actor_user_name: AWSServiceRoleForSSO}]
  expect: []
- name: a refused change is quiet
  events: [{<<: *trust, status: Failure}]
  expect: []
- name: another kind of change is quiet
  events: [{<<: *trust, change: policy_changed}]
  expect: []
---*/
