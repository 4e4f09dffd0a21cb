/*---
id: linux.sshd.authentication.other
title: "OpenSSH server: every other line"
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
time: timestamp
time_settings: {delay: 10s, lateness: 10m, max_skew: 5m, idle: 60s}
priority: 90                                   # no `when`: starts, warnings, lines of other programs in the same file
vendor: OpenBSD
product: OpenSSH
references: ["https://man.openbsd.org/sshd"]
---*/
SELECT "timestamp" AS time,
       'Other' AS activity,
       'Unknown' AS status,
       message AS message,
       'other' AS event_code,
       hostname AS device_hostname,
       'Linux' AS device_os,
       appname AS actor_process_name,
       appname AS app_name,
       procid AS "unmapped.pid"
FROM linux_sshd
/*--- tests
- name: the server starts
  raw: '2025-12-31T08:00:00+00:00 web-1 sshd[700]: Server listening on 0.0.0.0 port 22.'
  expect:
    - {table: authentication, time: "2025-12-31T08:00:00Z", activity: Other, status: Unknown, event_code: other, device_hostname: web-1, message: "Server listening on 0.0.0.0 port 22."}
- name: a line of another program in the same file
  raw: 'Dec 31 08:01:00 web-1 CRON[702]: pam_unix(cron:session): session opened for user root(uid=0) by (uid=0)'
  expect:
    - {table: authentication, activity: Other, app_name: CRON, user_name: null}
- name: a client that does not speak SSH
  raw: '2025-12-31T08:02:00+00:00 web-1 sshd[703]: banner exchange: Connection from 203.0.113.9 port 4444: invalid format'
  expect:
    - {table: authentication, event_code: other, src_ip: null}
---*/
