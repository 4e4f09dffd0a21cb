/*---
id: cloud.bucket_made_public
title: Bucket opened to everybody
severity: high
status: stable
description: A bucket policy or access list that names everybody was set, or the block on public access was removed.
attack: [TA0010, TA0009, T1530, T1567]
entity: {user_entity: user}
risk: 30
suppression: {by: [user_entity, resource_uid], for: 1h}
false_positives:
  - The bucket of a public web site
blind_spots:
  - A policy whose condition limits who everybody is, which is reported all the same
runbook: Put the block on public access back. The access log of the bucket says what was read.
references: ["https://attack.mitre.org/techniques/T1530/"]
---*/
SELECT time,
       user_entity,
       api_operation,
       resource_uid,
       cloud_account_uid,
       cloud_region,
       src_ip,
       request,
       concat(user_entity, ' opened the bucket ', coalesce(resource_name, resource_uid, ''), ' to everybody') AS title
FROM api_activity
WHERE status = 'Success'
  AND ((api_operation = 'PutBucketPolicy' AND regexp_like(request, '"Principal": ?("[*]"|[{]"AWS": ?"[*]"[}])'))
       OR (api_operation = 'PutBucketAcl' AND request LIKE '%/groups/global/AllUsers%')
       OR (api_operation = 'PutBucketAcl' AND request LIKE '%public-read%')
       OR api_operation = 'DeleteBucketPublicAccessBlock'
       OR api_operation = 'DeleteAccountPublicAccessBlock')
/*--- tests
- name: a policy for everybody
  events:
    - &policy {t: +0s, table: api_activity, api_service: s3.amazonaws.com, api_operation: PutBucketPolicy, status: Success, user_entity: ann, resource_name: logs, request: '{"bucketName":"logs","bucketPolicy":{"Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject"}]}}'}
  expect: [{user_entity: ann, title: ann opened the bucket logs to everybody}]
- name: an access list for everybody
  events: [{<<: *policy, api_operation: PutBucketAcl, request: '{"bucketName":"logs","x-amz-acl":["public-read"]}'}]
  expect: [{api_operation: PutBucketAcl}]
- name: a policy for one account is quiet
  events: [{<<: *policy, request: '{"bucketName":"logs","bucketPolicy":{"Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:root"},"Action":"s3:GetObject"}]}}'}]
  expect: []
- name: a refused policy is quiet
  events: [{<<: *policy, status: Failure}]
  expect: []
---*/
