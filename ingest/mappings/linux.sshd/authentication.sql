/*---
id: linux.sshd.authentication
title: "OpenSSH server: attempts, refusals, sessions"
source: linux.sshd
to: authentication
class: 3002
codec:
  syslog:
    # A user name is the attacker's text and may look like the end of the line: `.*` is greedy and the
    # pattern is anchored, so the address is always the last one, which sshd wrote.
    patterns:
      - '^(?:message repeated (?<repeated>\d+) times: \[ ?)?(?<what>Accepted|Failed) (?<method>\S+) for (?<invalid>invalid user )?(?<user>.*) from (?<ip>\S+) port (?<port>\d+)(?: ssh\d)?(?:: (?<key>[^\]]*))?\]?$'
      - '^(?<what>Invalid user) (?<user>.*) from (?<ip>\S+)(?: port (?<port>\d+))?$'
      - '^(?<what>Disconnected from|Connection closed by|Connection reset by) (?:(?:authenticating |invalid )?user (?<user>.*) )?(?<ip>[0-9A-Fa-f.:]+) port (?<port>\d+)(?<preauth> \[preauth\])?$'
      - '^(?<what>Received disconnect) from (?<ip>\S+) port (?<port>\d+):\d+: (?<reason>.*?)(?<preauth> \[preauth\])?$'
      - '^pam_unix\(sshd:session\): (?<what>session opened|session closed) for user (?<user>[^ (]+)(?:\(uid=\d+\))?(?: by .*)?$'
      - '^(?:PAM \d+ more|pam_\w+\(sshd:auth\):) (?<what>authentication failure)s?;.* rhost=(?<ip>\S*)(?:\s+user=(?<user>.*))?$'
      - '^(?:error: )?(?<what>maximum authentication attempts exceeded) for (?<invalid>invalid user )?(?<user>.*) from (?<ip>\S+) port (?<port>\d+) ssh\d(?<preauth> \[preauth\])?$'
      - '^(?<what>User) (?<user>.*) from (?<ip>\S+) not allowed because (?<reason>.*)$'
detect: {matches: ' sshd(-session)?\[\d+\]: '}
columns:
  timestamp: timestamp
  hostname: string
  appname: string
  procid: string
  message: string
  what: string
  method: string
  invalid: string
  user: string
  ip: string
  port: int
  key: string
  preauth: string
  reason: string
  repeated: int
time: timestamp
time_settings: {delay: 10s, lateness: 10m, max_skew: 5m, idle: 60s}
when: what IS NOT NULL
priority: 10
vendor: OpenBSD
product: OpenSSH
references:
  - "https://man.openbsd.org/sshd"
  - "https://www.rfc-editor.org/rfc/rfc3164"
  - "https://www.rfc-editor.org/rfc/rfc5424"
---*/
SELECT "timestamp" AS time,
       -- One attempt writes several lines. Only its decision (Accepted, Failed) is a Logon, so that counts are attempts.
       CASE
         WHEN what IN ('Accepted', 'Failed') THEN 'Logon'
         WHEN what IN ('Invalid user', 'authentication failure', 'maximum authentication attempts exceeded', 'User') THEN 'Preauth'
         WHEN what = 'session closed' THEN 'Logoff'
         WHEN what IN ('Disconnected from', 'Received disconnect') AND preauth IS NULL THEN 'Logoff'
         ELSE 'Other'
       END AS activity,
       CASE
         WHEN what IN ('Accepted', 'session opened', 'session closed') THEN 'Success'
         WHEN what IN ('Failed', 'Invalid user', 'authentication failure', 'maximum authentication attempts exceeded', 'User') THEN 'Failure'
         WHEN preauth IS NULL THEN 'Success'
         ELSE 'Unknown'
       END AS status,
       reason AS status_detail,
       CASE
         WHEN what = 'Invalid user' OR invalid IS NOT NULL THEN 'unknown_user'
         WHEN what = 'User' THEN 'policy'
         WHEN what = 'maximum authentication attempts exceeded' THEN 'other'
         WHEN what = 'Failed' AND method IN ('password', 'keyboard-interactive/pam') THEN 'bad_password'
         WHEN what IN ('Failed', 'authentication failure') THEN 'other'
       END AS failure_reason,
       message AS message,
       CASE what
         WHEN 'Accepted' THEN 'accepted'
         WHEN 'Failed' THEN 'failed'
         WHEN 'Invalid user' THEN 'invalid_user'
         WHEN 'User' THEN 'not_allowed'
         WHEN 'authentication failure' THEN 'pam_failure'
         WHEN 'maximum authentication attempts exceeded' THEN 'max_attempts'
         WHEN 'session opened' THEN 'session_opened'
         WHEN 'session closed' THEN 'session_closed'
         ELSE 'disconnected'
       END AS event_code,
       nullif("user", '') AS user_name,
       CASE WHEN regexp_like(ip, '^([0-9]+[.]){3}[0-9]+$|:') THEN ip END AS src_ip,
       CASE WHEN regexp_like(ip, '^([0-9]+[.]){3}[0-9]+$|:') IS FALSE THEN nullif(ip, '') END AS src_hostname,
       port AS src_port,
       hostname AS dst_hostname,
       hostname AS device_hostname,
       'Linux' AS device_os,
       appname AS actor_process_name,
       'SSH' AS auth_protocol,
       CASE WHEN what IN ('Accepted', 'Failed') THEN 'Remote Interactive' END AS logon_type,
       TRUE AS is_remote,
       'sshd' AS app_name,
       method AS "unmapped.auth_method",
       key AS "unmapped.key",
       CAST(repeated AS VARCHAR) AS "unmapped.repeated",
       procid AS "unmapped.pid"
FROM linux_sshd
/*--- tests
- name: a key accepted
  raw: '2025-12-31T09:00:00.123456+00:00 web-1 sshd[811]: Accepted publickey for ann from 203.0.113.9 port 51234 ssh2: ED25519 SHA256:AbCdEf'
  expect:
    - {table: authentication, time: "2025-12-31T09:00:00.123Z", activity: Logon, status: Success, user_name: ann, src_ip: 203.0.113.9, src_port: 51234, device_hostname: web-1, event_code: accepted, failure_reason: null}
- name: a password refused for a name that does not exist
  raw: '2025-12-31T09:01:00+00:00 web-1 sshd[812]: Failed password for invalid user oracle from 203.0.113.9 port 51235 ssh2'
  expect:
    - {table: authentication, activity: Logon, status: Failure, failure_reason: unknown_user, user_name: oracle}
- name: a user name that pretends to be the end of the line does not move the address
  raw: '2025-12-31T09:02:00+00:00 web-1 sshd[813]: Failed password for invalid user root from 198.51.100.1 port 22 ssh2 from 203.0.113.9 port 51236 ssh2'
  expect:
    - {table: authentication, status: Failure, src_ip: 203.0.113.9, src_port: 51236, user_name: root from 198.51.100.1 port 22 ssh2}
- name: the classic time stamp has no year
  raw: 'Dec 31 09:03:00 web-1 sshd[814]: Invalid user admin from 203.0.113.9 port 51237'
  expect:
    - {table: authentication, activity: Preauth, status: Failure, failure_reason: unknown_user, user_name: admin, device_hostname: web-1}
- name: a user leaves
  raw: '2025-12-31T09:04:00+00:00 web-1 sshd[815]: Disconnected from user ann 203.0.113.9 port 51234'
  expect:
    - {table: authentication, activity: Logoff, status: Success, user_name: ann, src_ip: 203.0.113.9}
- name: a connection that ends before any sign-in is no logoff
  raw: '2025-12-31T09:05:00+00:00 web-1 sshd[816]: Connection closed by authenticating user root 203.0.113.9 port 51238 [preauth]'
  expect:
    - {table: authentication, activity: Other, status: Unknown, user_name: root}
- name: the session of the login stack
  raw: '2025-12-31T09:06:00+00:00 web-1 sshd[811]: pam_unix(sshd:session): session opened for user ann(uid=1000) by (uid=0)'
  expect:
    - {table: authentication, activity: Other, status: Success, user_name: ann, event_code: session_opened}
- name: an IPv6 client in RFC 5424 form
  raw: '<86>1 2025-12-31T09:07:00.000Z web-1 sshd-session 817 - - Failed password for root from 2001:db8::9 port 51239 ssh2'
  expect:
    - {table: authentication, status: Failure, failure_reason: bad_password, user_name: root, src_ip: "2001:db8::9", actor_process_name: sshd-session}
- name: a repeated line counts its repetitions beside the row
  raw: '2025-12-31T09:08:00+00:00 web-1 sshd[818]: message repeated 3 times: [ Failed password for root from 203.0.113.9 port 51240 ssh2]'
  expect:
    - {table: authentication, status: Failure, user_name: root, src_port: 51240}
---*/
