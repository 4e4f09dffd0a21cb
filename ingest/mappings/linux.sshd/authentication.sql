/*---
id: linux.sshd.authentication
title: "Linux authentication log: OpenSSH 6 to 10, dropbear, PAM, sudo, su"
source: linux.sshd
to: authentication
class: 3002
codec:
  syslog:
    # Who writes a line decides which patterns are asked. All are anchored. A refused user name is the attacker's text and
    # may look like the end of the line: there `.*` is greedy, so the address is the last one, which sshd wrote. What comes
    # after the address (a key id, a reason) may look like an address too: where it can, the user has no blank.
    programs:
      sshd sshd-session sshd-auth ssh.service sshd.service:
        # The lines of an attack, as they nearly always are: what can follow a group is never part of it, so that one pass
        # finds all groups, in a fifth of the time. Others are for the patterns below, which take these in the same way.
        - '^(?<what>Failed) (?<method>[!-~]+) for (?<user>[!-~]+) from (?<ip>[0-9A-Fa-f.:]+) port (?<port>[0-9]+) ssh2$'
        - '^(?<what>Failed) (?<method>[!-~]+) for (?<invalid>invalid user )(?<user>[!-~]+) from (?<ip>[0-9A-Fa-f.:]+) port (?<port>[0-9]+) ssh2$'
        - '^(?<what>Invalid user) (?<user>[!-~]+) from (?<ip>[0-9A-Fa-f.:]+) port (?<port>[0-9]+)$'
        - '^(?<what>Accepted) (?<method>[!-~]+) for (?<user>[!-~]+) from (?<ip>[0-9A-Fa-f.:]+) port (?<port>[0-9]+) ssh2(?:: (?<key>[!-~]+(?: [!-~]+)*))?$'
        - '^(?<what>Accepted|Postponed|Partial) (?<method>\S+) for (?<invalid>invalid user )?(?<user>.*?) from (?<ip>\S+) port (?<port>\d+)(?: ssh\d)?(?<preauth> \[preauth\])?(?:: (?<key>.*?))?\s*$'
        - '^(?<what>Failed) (?<method>\S+) for (?<invalid>invalid user |illegal user )?(?<user>.*) from (?<ip>\S+) port (?<port>\d+)(?: ssh\d)?(?:: (?<key>[A-Z0-9@.a-z-]+ (?:SHA256:|MD5:)?\S+))?\s*$'
        - '^(?<what>Failed) (?<method>\S+) for (?<invalid>invalid user |illegal user )?(?<user>\S*) from (?<ip>\S+) port (?<port>\d+) ssh\d: (?<key>.*)$'
        - '^(?<what>Invalid user|Illegal user) (?<user>.*) from (?<ip>\S+)(?: port (?<port>\d+))?$'
        - '^(?<what>Disconnected from|Connection closed by|Connection reset by) (?:(?:(?<named>authenticating) |(?<invalid>invalid) )?user (?<user>.*) )?(?<ip>\d+\.[\d.]+|[0-9A-Fa-f]*:[0-9A-Fa-f:.]+(?:%\w+)?|UNKNOWN)(?: port (?<port>\d+))?(?<preauth> \[preauth\])?$'
        - '^(?<what>Disconnecting): (?<reason>Too many authentication failures) for (?<invalid>invalid user )?(?<user>.*?)(?: from (?<ip>\S+) port (?<port>\d+) ssh\d)?(?<preauth> \[preauth\])?$'
        - '^(?<what>Disconnecting)(?: (?:(?:(?<named>authenticating) |(?<invalid>invalid) )?user (?<user>.*) )?(?<ip>\d+\.[\d.]+|[0-9A-Fa-f]*:[0-9A-Fa-f:.]+(?:%\w+)?|UNKNOWN) port (?<port>\d+))?: (?<reason>.*?)(?<preauth> \[preauth\])?$'
        - '^(?:error: )?(?<what>Received disconnect) from (?<ip>\d+\.[\d.]+|[0-9A-Fa-f]*:[0-9A-Fa-f:.]+(?:%\w+)?|UNKNOWN)(?: port (?<port>\d+))?: ?\d+: (?<reason>.*?)(?<preauth> \[preauth\])?$'
        - '^(?:error: )?(?<what>Too many authentication failures) for (?<invalid>invalid user )?(?<user>.*?)(?: from (?<ip>\S+) port (?<port>\d+) ssh\d)?(?<preauth> \[preauth\])?$'
        - '^(?:error: )?(?<what>[Mm]aximum authentication attempts exceeded) for (?<invalid>invalid user )?(?<user>.*) from (?<ip>\S+) port (?<port>\d+) ssh\d(?<preauth> \[preauth\])?$'
        - '^(?<what>User) (?<user>.*) from (?<ip>\S+) not allowed because (?<reason>.*)$'
        - '^(?<what>User) (?<user>.*) not allowed because (?<reason>account is locked|shell .*|none of user.*|.*)$'
        - '^User (?<user>.*) (?<what>password has expired) \((?<reason>.*)\)$'
        - '^(?<what>Account) (?<user>.*) has expired$'
        - '^Login name (?<user>.*) (?<what>does not match stored username) .*$'
        - '^(?<what>ROOT LOGIN REFUSED) FROM (?<ip>\S+)(?: port (?<port>\d+))?(?<preauth> \[preauth\])?$'
        - '^(?:error: )?(?<what>PAM): (?<reason>[^:]*?) for (?<invalid>illegal user |invalid user )?(?<user>.*) from (?<ip>\S+)(?<preauth> \[preauth\])?$'
        - '^(?:fatal: )?(?<what>Access denied) for user (?<user>.*) by PAM account configuration(?<preauth> \[preauth\])?$'
        - '^(?:error: )?(?<what>Could not get shadow information) for (?<user>.*?)(?<preauth> \[preauth\])?$'
        - '^input_userauth_request: (?<what>invalid user) (?<user>.*?)(?<preauth> \[preauth\])?$'
        - '^pam_[\w-]+\(sshd:session\): (?<what>session opened|session closed) for user (?<user>.*?)(?:\(uid=\d+\))?(?: by .*)?$'
        - '^session (?<what>opened|closed) for user (?<user>.*?)(?:\(uid=\d+\))?(?: by .*)?$'
        - '^(?:PAM \d+ more |pam_[\w-]+\(sshd:auth\): )?(?<what>authentication failure)s?; logname=\S* uid=\d* euid=\d* tty=\S* ruser=\S* rhost=(?<ip>\S*)(?:\s+user=(?<user>.*))?$'
        - '^(?:pam_[\w-]+\(sshd:auth\): )(?<what>authentication success); logname=\S* uid=\d* euid=\d* tty=\S* ruser=\S* rhost=(?<ip>\S*)(?:\s+user=(?<user>.*))?$'
        - '^(?:pam_[\w-]+\(sshd:auth\): )?(?<what>check pass); user unknown$'
        - '^pam_[\w-]+\(sshd:auth\): (?<what>bad username) \[(?<user>.*)\]$'
        - '^pam_[\w-]+\(sshd:auth\): (?<what>conversation failed|auth could not identify password)(?: for \[(?<user>.*)\])?$'
        - '^pam_[\w-]+\(sshd:auth\): password for user (?<user>.*) (?<what>failed)$'
        - '^pam_[\w-]+\(sshd:auth\): (?<what>received for user) (?<user>.*?): (?<reason>\d+ \(.*\))$'
        - '^pam_faillock\(sshd:auth\): (?<what>Consecutive login failures) for user (?<user>.*) account temporarily locked$'
        - '^pam_tally2?\(sshd:auth\): (?<what>user) (?<user>.*) \(\d+\) (?<reason>tally \d+, deny \d+)$'
        - '^pam_[\w-]+\(sshd:account\): (?<what>account) (?<user>.*?) has expired(?<reason>.*)$'
        - '^pam_[\w-]+\(sshd:account\): (?<what>expired password) for user (?<user>.*?)(?: \((?<reason>.*)\))?$'
        - '^pam_[\w-]+\(sshd:account\): (?<what>password) for user (?<user>.*) will expire in (?<reason>.*)$'
        - '^pam_[\w-]+\(sshd:chauthtok\): (?<what>password changed) for (?<user>.*)$'
        - '^pam_access\(sshd:account\): (?<what>access denied) for user [`''](?<user>.*)'' from [`''](?<ip>[^'']*)''$'
        - '^pam_time\(sshd:account\): user (?<user>.*) (?<what>rejected)$'
        - '^pam_limits\(sshd:session\): (?<what>Too many logins) \((?<reason>max \d+)\) for (?<user>.*)$'
        - '^pam_winbind\(sshd:\w+\): user ''(?<user>.*)'' (?<what>granted access|denied access|OK)(?: \((?<reason>.*)\))?$'
        - '^pam_ldap\(sshd:auth\): (?<what>Authentication failure); user=(?<user>.*)$'
        - '^pam_ldap(?:\(sshd:auth\))?: (?<what>error trying to bind) as user "(?:uid|cn)=(?<user>[^,"]*)[^"]*" \((?<reason>.*)\)$'
        - '^pam_krb5(?:\(sshd:auth\)|\[\d+\]): (?<what>authentication fails) for ''(?<user>[^'']*)''(?: \(\S+\))?: (?<reason>.*)$'
        - '^pam_krb5(?:\(sshd:auth\)|\[\d+\]): (?:user (?<user>\S+) (?<what>authenticated) as \S+|authentication succeeds for .*)$'
        - '^(?:pam_duo\(sshd:\w+\): )?(?<what>(?:Successful|Failed|Skipped|Aborted) Duo login) for ''(?<user>.*)''(?: from (?<ip>[0-9A-Fa-f.:]*[0-9A-Fa-f]))?(?:: (?<reason>.*))?$'
        - '^pam_[\w-]+\(sshd:(?:auth|account)\): (?<what>Access denied) for user (?<user>.*?): (?<reason>\d+ \(.*\))$'
        - '^pam_listfile\(sshd:\w+\): (?<what>Refused user) (?<user>.*) for service \S+$'
        - '^pam_succeed_if\(sshd:\w+\): (?<what>requirement) (?<reason>".*" not met) by user "(?<user>.*)"$'
        - '^pam_succeed_if\(sshd:\w+\): requirement (?<reason>".*" was met) by user "(?<user>.*)"$'
        - '^pam_faillock\(sshd:auth\): (?<what>User unknown)$'
        - '^(?:pam_google_authenticator\(sshd:\w+\): )?Accepted (?<method>google_authenticator) for (?<user>\S+)$'
        - '^(?:pam_google_authenticator\(sshd:\w+\): )?(?<what>Invalid verification code) for (?<user>\S+)$'
        - '^pam_(?:cap|env|exec|gnome_keyring|keyinit|lastlog2?|limits|loginuid|mail|mkhomedir|motd|namespace|nologin|oddjob_mkhomedir|script|selinux|systemd|systemd_home|tty_audit|umask|wtmpdb|xauth)\(sshd:\w+\): (?<reason>.*)$'
        - '^(?<what>Authorized) to (?<user>[^,]*), krb5 principal (?<key>[^ ,]+)(?:,? .*)?$'
        - '^(?<what>Login restricted) for (?<user>.*?): (?<reason>.*)$'
        - '^(?<what>Authentication tried for) (?<user>.*) with (?<reason>(?:correct|valid) (?:key|certificate) but not from a permitted host) \(host=\S*, ip=(?<ip>[0-9A-Fa-f.:]+)(?:, required hosts=.*)?\)\.?$'
        - '^(?<what>Did not receive identification string) from (?<ip>\S+)(?: port (?<port>\d+))?$'
        - '^(?<what>Bad protocol version identification) .* from (?<ip>\S+)(?: port (?<port>\d+))?$'
        - '^(?:error: )?banner exchange: (?<what>Connection) from (?<ip>\S+) port (?<port>\d+): (?<reason>.*)$'
        - '^(?:fatal: |error: )?(?<what>Unable to negotiate) with (?:user \S+ )?(?<ip>\d+\.[\d.]+|[0-9A-Fa-f]*:[0-9A-Fa-f:.]+(?:%\w+)?|UNKNOWN)(?: port (?<port>\d+))?: (?<reason>.*?)(?<preauth> \[preauth\])?$'
        - '^(?:fatal: )?(?<what>Timeout before authentication) for (?:connection from )?(?<ip>\d+\.[\d.]+|[0-9A-Fa-f]*:[0-9A-Fa-f:.]+(?:%\w+)?|UNKNOWN)(?: port (?<port>\d+))?(?: to \S+, pid = \d+)?$'
        - '^(?:error: )?(?<what>srclimit_penalise): (?:ipv[46]: )?(?:new |active )?(?<ip>[0-9A-Fa-f.:]+)/\d+ (?<reason>.*)$'
        - '^(?:error: )?(?<what>drop connection) #\d+ from \[(?<ip>[^\]]+)\]:(?<port>\d+) on \[[^\]]*\]:\d+ (?<reason>.*)$'
        - '^(?<what>Timeout), client not responding(?: from (?:user (?<user>.*) )?(?<ip>\d+\.[\d.]+|[0-9A-Fa-f]*:[0-9A-Fa-f:.]+(?:%\w+)?|UNKNOWN) port (?<port>\d+))?\.?$'
        - '^(?<what>scanned|probed) from (?<ip>\d+\.[\d.]+|[0-9A-Fa-f]*:[0-9A-Fa-f:.]+)(?: port (?<port>\d+))? with (?<reason>.*)$'
        - '^(?:fatal: |error: )?(?:\w+: )?(?<what>Connection) (?:from|to) (?:(?:(?<named>authenticating) |(?<invalid>invalid) )?user (?<user>.*) )?(?<ip>\d+\.[\d.]+|[0-9A-Fa-f]*:[0-9A-Fa-f:.]+(?:%\w+)?|UNKNOWN) port (?<port>\d+) (?<reason>timed out)(?<preauth> \[preauth\])?$'
        - '^(?:fatal: |error: )?\w+: (?<what>Connection) (?:from|to) (?:(?:(?<named>authenticating) |(?<invalid>invalid) )?user (?<user>.*) )?(?<ip>\d+\.[\d.]+|[0-9A-Fa-f]*:[0-9A-Fa-f:.]+(?:%\w+)?|UNKNOWN) port (?<port>\d+): (?<reason>.*?)(?<preauth> \[preauth\])?$'
        - '^(?<what>Connection) from (?<ip>\d+\.[\d.]+|[0-9A-Fa-f]*:[0-9A-Fa-f:.]+(?:%\w+)?|UNKNOWN) port (?<port>\d+)(?: on \S+ port \d+.*)?$'
        - '^Closing (?<what>connection) to (?<ip>\d+\.[\d.]+|[0-9A-Fa-f]*:[0-9A-Fa-f:.]+(?:%\w+)?|UNKNOWN) port (?<port>\d+)$'
        - '^(?:fatal: |error: )?(?<what>Read error) from remote host (?<ip>\S+) port (?<port>\d+): (?<reason>.*)$'
        - '^(?<what>refused connect) from \S+ \((?<ip>[^)]+)\)$'
        - '^(?<what>reverse mapping) checking getaddrinfo for .* \[(?<ip>[^\]]+)\] failed.*$'
        - '^(?<what>Address) (?<ip>\S+) maps to .*, but this does not map back to the address.*$'
        - '^(?<what>Nasty PTR record) .* is set up for (?<ip>[0-9A-Fa-f.:]+), ignoring$'
        - '^(?<what>Protocol major versions differ) for (?<ip>[0-9A-Fa-f.:]+)(?: port (?<port>\d+))?: .*$'
        - '^(?<what>Starting session): (?<reason>.*) for (?<user>\S+) from (?<ip>\S+) port (?<port>\d+) id \d+$'
        - '^(?<what>Close session): user (?<user>\S+) from (?<ip>\S+) port (?<port>\d+) id \d+$'
        - '^(?<what>subsystem request) for (?<reason>\S+)(?: by user (?<user>\S+))?(?: failed, .*)?$'
        - '^(?<what>Authentication refused|Authentication tried)[: ](?<reason>.*)$'
        - '^(?<what>Server listening|Received signal|Received SIGHUP|Exiting on signal|User child|Set /proc/self|Accepted key|Accepted certificate|Accepted cert|PAM service|PAM adding|Transferred:|Executing command|Changed root|Postponed|debug\d:|rexec|lastlog|syslogin|beginning MaxStartups|exited MaxStartups|error: beginning MaxStartups|kex_exchange_identification|error: kex_exchange_identification|error: kex_protocol_error|ssh_exchange_identification|error: Protocol|error: Bind|error: AuthorizedKeysCommand|Certificate|error: Certificate|fatal: |error: Received|error: Authentication key|Corrupted MAC|Write failed|Read from socket|packet_write|Could not load|error: Could not load|Missing privilege|userauth_\w+: |dispatch_protocol_error|pam_systemd\(sshd:session\): |error: |Authentication key |Refused by |Bad packet length|padding error|refused (?:local|remote|streamlocal) |Received request |Connection closed by remote host|Connection reset by peer|Client disconnected|Attempt to write login records|Failed to |sshd: |sshd-session: |/etc/ssh/|twist |warning: /etc/hosts|userauth_|penalty: |Could not write ident string|Protocol major versions differ: |Deprecated option|Unsupported option|pam_unix\(sshd:\w+\): could not |pam_sss\(sshd:\w+\): User info message)(?<reason>.*)$'
        - '^User \S+ authorized keys (?<reason>.*)$'
      dropbear:
        - '^(?<method>Password|Pubkey) auth (?<what>succeeded) for ''(?<user>.*)''(?: with .*)? from (?<ip>\S+):(?<port>\d+)$'
        - '^(?<what>Bad) (?<method>password|PAM password) attempt for ''(?<user>.*)'' from (?<ip>\S+):(?<port>\d+)$'
        - '^(?<what>Login attempt) for (?<invalid>nonexistent user)(?: ''(?<user>.*)'')? from (?<ip>\S+):(?<port>\d+)$'
        - '^(?<what>Login attempt) (?:with|for).* from (?<ip>\S+):(?<port>\d+)$'
        - '^(?<what>Exit before auth)(?: from <(?<ip>\S+):(?<port>\d+)>:)? \(user ''(?<user>.*)'', (?<fails>\d+) fails\): (?<reason>.*)$'
        - '^(?<what>Exit before auth)(?: from <(?<ip>\S+):(?<port>\d+)>)?: (?<reason>.*)$'
        - '^(?<what>Exit) \((?<user>.*)\)(?: from <(?<ip>\S+):(?<port>\d+)>)?: (?<reason>.*)$'
        - '^Child (?<what>connection) from (?<ip>\S+):(?<port>\d+)$'
        - '^(?:User ''(?<user>.*)'' (?:has|is)|Running in background|Not backgrounding|Early exit|Premature exit|Failed|Couldn''t|Pubkey|PAM|Aiee|Generated|Unable|Syslog|[Rr]oot login)(?<reason>.*)$'
      sftp-server internal-sftp:
        - '^(?<what>session opened|session closed) for local user (?<user>.*) from \[(?<ip>[^\]]*)\]$'
        - '^(?:open|opendir|close|closedir|remove|rename|mkdir|rmdir|set|sent|received|forced|statvfs|symlink|lstat|stat|realpath|debug\d|error|fsync|posix-rename|hardlink|read|write)(?<reason>[ :].*)$'
      sudo:
        - '^ *(?<user>\S+) : (?:(?<reason>[^;]*?) ; )?TTY=(?<tty>[^;]*?) ; PWD=(?<pwd>.*?) ; USER=(?<target>[^;]*?) ;(?: GROUP=[^;]*? ;)?(?: TSID=[^;]*? ;)?(?: ENV=.*? ;)? (?<what>COMMAND)=(?<command>.*)$'
        - '^pam_[\w-]+\(sudo(?:-i)?:session\): (?<what>session opened|session closed) for user (?<target>[^ (]+)(?:\(uid=\d+\))?(?: by (?<user>[^ (]*)\(uid=\d+\))?$'
        - '^pam_[\w-]+\(sudo(?:-i)?:auth\): (?<what>authentication failure); logname=\S* uid=\d* euid=\d* tty=(?<tty>\S*) ruser=(?<user>\S*) rhost=\S*(?:\s+user=\S+)?$'
        - '^pam_[\w-]+\(sudo(?:-i)?:auth\): (?<what>conversation failed|auth could not identify password)(?: for \[(?<user>[^\]]*)\])?$'
      su su-l:
        - '^(?<failed>FAILED SU )?\((?<what>to) (?<target>\S+)\) (?<user>\S+) on (?<tty>\S+)$'
        - '^(?<what>Successful|FAILED) su for (?<target>\S+) by (?<user>\S+)$'
        - '^(?<sign>[+-]) (?<tty>\S+) (?<user>[^: ]+)[:-](?<target>\S+)$'
        - '^pam_[\w-]+\(su(?:-l)?:session\): (?<what>session opened|session closed) for user (?<target>[^ (]+)(?:\(uid=\d+\))?(?: by (?<user>[^ (]*)\(uid=\d+\))?$'
        - '^pam_[\w-]+\(su(?:-l)?:auth\): (?<what>authentication failure); logname=\S* uid=\d* euid=\d* tty=(?<tty>\S*) ruser=(?<user>\S*) rhost=\S*(?:\s+user=(?<target>\S+))?$'
      CRON cron crond anacron:
        - '^pam_[\w-]+\(cron(?:d)?:session\): (?<what>session opened|session closed) for user (?<user>[^ (]+)(?:\(uid=\d+\))?(?: by .*)?$'
        - '^\((?<user>[^)]*)\) (?<reason>[A-Z ]+) \(.*\)$'
        - '^pam_[\w-]+\(cron(?:d)?:account\): .*$'
      systemd-logind:
        - '^(?<what>New session) \S+ of user (?<user>.*?)\.?$'
        - '^(?<what>Removed session|Session|New seat|Watching system|System is|Power key|Lid) ?(?<reason>.*)$'
      login:
        - '^(?:pam_[\w-]+\(login:session\): )(?<what>session opened|session closed) for user (?<user>[^ (]+)(?:\(uid=\d+\))?(?: by .*)?$'
        - '^(?<what>FAILED LOGIN) \(\d+\) on .* FOR .(?<user>.*)., (?<reason>[^,]*)$'
        - '^(?<what>LOGIN ON|ROOT LOGIN ON|ROOT LOGIN) *(?<tty>\S*)(?: BY (?<user>\S+))?(?: FROM (?<ip>\S+))?.*$'
        - '^pam_[\w-]+\(login:auth\): (?<what>authentication failure); logname=\S* uid=\d* euid=\d* tty=(?<tty>\S*) ruser=\S* rhost=(?<ip>\S*)(?:\s+user=(?<user>.*))?$'
        - '^(?:pam_[\w-]+\(login:auth\): )?(?<what>check pass); user unknown$'
detect:
  matches: '(?:^|[ /])sshd(-session|-auth)?(\(pam_unix\))?(\[\d+\])?: '
  # What only sshd says: the log of its own file or container names no program.
  message: '^(?:(?:error|fatal): )?(?:(?:Accepted|Failed|Postponed|Partial) \S+ for .* from \S+ port \d|(?:Invalid|Illegal) user .* from \S+|(?:Connection (?:closed by|reset by|from)|Disconnected from|Disconnecting|Received disconnect from) .*port \d|User \S+ (?:from \S+ )?not allowed because|Server listening on \S+ port \d|[Mm]aximum authentication attempts exceeded for|pam_\w+\(sshd:|Did not receive identification string from|Bad protocol version identification|Unable to negotiate with|Timeout before authentication for|ssh_dispatch_run_fatal: |kex_exchange_identification: |banner exchange: |[Ss]ubsystem request for \S+|Close session: user|Starting session: |Authentication refused: |Received signal \d+; terminating|sshd: |debug\d: )'
columns:
  timestamp: timestamp
  hostname: string
  appname: string
  procid: string
  message: string
  what: string
  method: string
  invalid: string
  named: string
  user: string
  ip: string
  port: int
  key: string
  preauth: string
  reason: string
  repeated: int
  target: string
  tty: string
  command: string
  failed: string
  sign: string
  fails: int
time: timestamp
time_settings: {delay: 10s, lateness: 10m, max_skew: 5m, idle: 60s}
priority: 10
vendor: OpenBSD
product: OpenSSH
references:
  - "https://man.openbsd.org/sshd"
  - "https://github.com/openssh/openssh-portable"
  - "https://github.com/mkj/dropbear"
  - "https://www.sudo.ws/docs/man/sudoers.man/#EVENT_LOGGING"
  - "https://github.com/linux-pam/linux-pam"
---*/
SELECT "timestamp" AS time,
       -- One attempt writes several lines. Only its decision (Accepted, Failed) is a Logon, so that counts are attempts.
       CASE
         WHEN what IN ('Accepted', 'Failed', 'LOGIN ON', 'ROOT LOGIN ON', 'ROOT LOGIN', 'FAILED LOGIN', 'succeeded', 'Bad',
                       'Login attempt') THEN 'Logon'
         WHEN appname IN ('sudo', 'su', 'su-l') AND (what IN ('COMMAND', 'Successful', 'FAILED') OR failed IS NOT NULL OR sign IS NOT NULL OR what = 'to') THEN 'Account Switch'
         WHEN what IN ('Invalid user', 'Illegal user', 'authentication failure', 'maximum authentication attempts exceeded', 'Maximum authentication attempts exceeded', 'User',
                       'ROOT LOGIN REFUSED', 'Access denied', 'Consecutive login failures', 'user', 'account', 'expired password',
                       'check pass', 'received for user', 'invalid user', 'access denied', 'Refused user', 'requirement', 'User unknown',
                       'Invalid verification code', 'Login restricted', 'Authentication tried for', 'Too many authentication failures', 'password has expired', 'Account',
                       'does not match stored username', 'bad username', 'conversation failed', 'auth could not identify password', 'failed', 'rejected', 'denied access',
                       'Authentication failure', 'error trying to bind', 'authentication fails', 'Failed Duo login', 'Aborted Duo login', 'Too many logins') THEN 'Preauth'
         WHEN what = 'PAM' THEN 'Preauth'
         WHEN what IN ('session closed', 'closed') AND appname NOT IN ('sudo', 'su', 'su-l', 'CRON', 'cron', 'crond', 'anacron') THEN 'Logoff'
         WHEN what IN ('Disconnected from', 'Received disconnect', 'Exit') AND preauth IS NULL THEN 'Logoff'
         ELSE 'Other'
       END AS activity,
       CASE
         WHEN what IN ('Accepted', 'session opened', 'session closed', 'opened', 'closed', 'LOGIN ON', 'ROOT LOGIN ON', 'ROOT LOGIN',
                       'Successful', 'Starting session', 'New session', 'succeeded', 'authentication success', 'authenticated', 'granted access', 'OK', 'password changed',
                       'Successful Duo login') THEN 'Success'
         WHEN what IN ('Failed', 'Invalid user', 'Illegal user', 'authentication failure', 'maximum authentication attempts exceeded', 'Maximum authentication attempts exceeded', 'User',
                       'ROOT LOGIN REFUSED', 'Access denied', 'Consecutive login failures', 'user', 'account', 'expired password', 'check pass',
                       'received for user', 'invalid user', 'FAILED LOGIN', 'FAILED', 'refused connect', 'drop connection', 'conversation failed',
                       'auth could not identify password', 'access denied', 'Refused user', 'requirement', 'User unknown',
                       'Invalid verification code', 'Login restricted', 'Authentication tried for', 'Bad', 'Login attempt', 'Too many authentication failures',
                       'password has expired', 'Account', 'does not match stored username', 'bad username', 'failed', 'rejected', 'denied access', 'Authentication failure',
                       'error trying to bind', 'authentication fails', 'Failed Duo login', 'Aborted Duo login', 'Too many logins') THEN 'Failure'
         WHEN fails > 0 THEN 'Failure'
         WHEN what = 'PAM' THEN 'Failure'
         WHEN failed IS NOT NULL OR sign = '-' THEN 'Failure'
         WHEN what = 'COMMAND' THEN CASE WHEN reason IS NULL THEN 'Success' ELSE 'Failure' END
         WHEN sign = '+' OR what = 'to' THEN 'Success'
         WHEN what = 'Disconnected from' AND preauth IS NULL AND "user" IS NOT NULL THEN 'Success'
         WHEN what = 'Disconnecting' AND reason LIKE 'Too many authentication failures%' THEN 'Failure'
         ELSE 'Unknown'
       END AS status,
       reason AS status_detail,
       CASE
         WHEN what IN ('Invalid user', 'Illegal user', 'check pass', 'invalid user', 'User unknown', 'bad username') OR invalid IS NOT NULL THEN 'unknown_user'
         WHEN what = 'Bad' THEN 'bad_password'
         WHEN what IN ('access denied', 'Refused user', 'requirement', 'Login restricted', 'Authentication tried for', 'rejected', 'Too many logins',
                       'does not match stored username') THEN 'policy'
         WHEN what IN ('Failed Duo login', 'Aborted Duo login') THEN CASE WHEN reason LIKE '%denied%' THEN 'mfa_denied' ELSE 'mfa_failed' END
         WHEN what = 'Invalid verification code' THEN 'mfa_failed'
         WHEN what = 'Login attempt' OR fails > 0 THEN 'other'
         WHEN reason LIKE 'User not known%' THEN 'unknown_user'
         WHEN what = 'User' AND reason = 'account is locked' THEN 'locked'
         WHEN what IN ('User', 'ROOT LOGIN REFUSED', 'Access denied', 'refused connect') THEN 'policy'
         WHEN what IN ('Consecutive login failures', 'user') THEN 'locked'
         WHEN what IN ('account', 'expired password', 'Account', 'password has expired') THEN 'expired'
         WHEN lower(what) IN ('maximum authentication attempts exceeded', 'too many authentication failures') THEN 'other'
         WHEN what = 'error trying to bind' AND reason LIKE 'Invalid credentials%' THEN 'bad_password'
         WHEN what = 'Failed' AND method IN ('password', 'keyboard-interactive/pam') THEN 'bad_password'
         WHEN what = 'COMMAND' AND reason LIKE '%incorrect password attempt%' THEN 'bad_password'
         WHEN what = 'COMMAND' AND reason IS NOT NULL THEN 'policy'
         WHEN what IN ('Failed', 'authentication failure', 'FAILED LOGIN', 'FAILED', 'received for user', 'conversation failed', 'auth could not identify password',
                       'failed', 'denied access', 'Authentication failure', 'error trying to bind', 'authentication fails') THEN 'other'
         WHEN failed IS NOT NULL OR sign = '-' THEN 'other'
         WHEN what = 'PAM' THEN 'other'
         WHEN what = 'Disconnecting' AND reason LIKE 'Too many authentication failures%' THEN 'other'
       END AS failure_reason,
       message AS message,
       CASE
         WHEN what IS NULL AND sign IS NULL THEN 'other'
         WHEN what IN ('Accepted', 'succeeded') THEN 'accepted'
         WHEN what IN ('Failed', 'Bad', 'Login attempt') THEN 'failed'
         WHEN what IN ('Invalid user', 'Illegal user', 'invalid user', 'bad username') THEN 'invalid_user'
         WHEN what IN ('User', 'ROOT LOGIN REFUSED', 'Access denied', 'access denied', 'Refused user', 'requirement', 'refused connect', 'Login restricted',
                       'Authentication tried for', 'rejected', 'Too many logins', 'does not match stored username') THEN 'not_allowed'
         WHEN what IN ('authentication failure', 'check pass', 'received for user', 'User unknown', 'Invalid verification code', 'PAM', 'failed', 'denied access',
                       'Authentication failure', 'error trying to bind', 'authentication fails', 'Failed Duo login', 'Aborted Duo login')
           OR (appname LIKE 'sshd%' AND what IN ('conversation failed', 'auth could not identify password')) THEN 'pam_failure'
         WHEN what = 'Exit before auth' THEN 'closed_preauth'
         WHEN lower(what) IN ('maximum authentication attempts exceeded', 'too many authentication failures') THEN 'max_attempts'
         WHEN what IN ('session opened', 'opened', 'New session') THEN 'session_opened'
         WHEN what IN ('session closed', 'closed', 'Removed session') THEN 'session_closed'
         WHEN what IN ('Consecutive login failures', 'user') THEN 'locked'
         WHEN what IN ('account', 'expired password', 'Account', 'password has expired') THEN 'expired'
         WHEN what = 'COMMAND' THEN 'sudo'
         WHEN appname IN ('su', 'su-l') AND (what IN ('to', 'Successful', 'FAILED') OR sign IS NOT NULL) THEN 'su'
         WHEN what IN ('LOGIN ON', 'ROOT LOGIN ON', 'ROOT LOGIN') THEN 'login'
         WHEN what = 'FAILED LOGIN' THEN 'login_failed'
         -- Before any decision: of a named user, or of a peer that only looked.
         WHEN what IN ('Connection closed by', 'Connection reset by', 'Disconnected from', 'Disconnecting', 'Timeout before authentication')
           AND (preauth IS NOT NULL OR named IS NOT NULL OR invalid IS NOT NULL OR what = 'Timeout before authentication') THEN 'closed_preauth'
         WHEN what IN ('Connection closed by', 'Connection reset by', 'Disconnected from', 'Disconnecting', 'Received disconnect', 'Close session', 'Exit', 'Timeout') THEN 'disconnected'
         WHEN what IN ('Did not receive identification string', 'Bad protocol version identification', 'Unable to negotiate',
                       'Protocol major versions differ', 'scanned', 'probed') OR (what = 'Connection' AND reason IS NOT NULL) THEN 'probe'
         WHEN what IN ('srclimit_penalise', 'drop connection') THEN 'limited'
         WHEN what IN ('Connection', 'connection') THEN 'connected'
         WHEN what = 'Starting session' THEN 'session_started'
         ELSE 'other'
       END AS event_code,
       "user" AS user_name,
       ip AS src_ip,
       port AS src_port,
       CASE WHEN appname LIKE 'sshd%' OR appname IN ('ssh.service', 'dropbear', 'sftp-server', 'internal-sftp') OR appname IS NULL THEN hostname END AS dst_hostname,
       hostname AS device_hostname,
       'Linux' AS device_os,
       appname AS actor_process_name,
       CASE WHEN appname LIKE 'sshd%' OR appname IN ('ssh.service', 'dropbear', 'sftp-server', 'internal-sftp') OR (appname IS NULL AND what IS NOT NULL) THEN 'SSH' END AS auth_protocol,
       CASE
         WHEN what IN ('Accepted', 'Failed', 'succeeded', 'Bad', 'Login attempt') THEN 'Remote Interactive'
         WHEN what IN ('LOGIN ON', 'ROOT LOGIN ON', 'FAILED LOGIN') AND ip IS NULL THEN 'Interactive'
       END AS logon_type,
       CASE WHEN (appname LIKE 'sshd%' OR appname IN ('ssh.service', 'dropbear', 'sftp-server', 'internal-sftp') OR appname IS NULL) AND what IS NOT NULL THEN TRUE END AS is_remote,
       CASE WHEN appname LIKE 'sshd%' OR appname = 'ssh.service' OR (appname IS NULL AND what IS NOT NULL) THEN 'sshd' ELSE appname END AS app_name,
       CASE WHEN what LIKE '% Duo login' OR what = 'Invalid verification code' OR method = 'google_authenticator' THEN TRUE END AS is_mfa,
       CASE WHEN target IS NOT NULL THEN make_array(target) END AS privileges,
       lower(method) AS "unmapped.auth_method",
       key AS "unmapped.key",
       CAST(repeated AS VARCHAR) AS "unmapped.repeated",
       procid AS "unmapped.pid",
       target AS "unmapped.target_user",
       nullif(tty, '') AS "unmapped.tty",
       command AS "unmapped.command"
FROM linux_sshd
/*--- tests
- name: a key accepted
  raw: '2025-12-31T09:00:00.123456+00:00 web-1 sshd[811]: Accepted publickey for ann from 203.0.113.9 port 51234 ssh2: ED25519 SHA256:AbCdEf'
  expect:
    - {table: authentication, time: "2025-12-31T09:00:00.123Z", activity: Logon, status: Success, user_name: ann, src_ip: 203.0.113.9, src_port: 51234, device_hostname: web-1, event_code: accepted, failure_reason: null}
- name: a certificate with brackets and another address in its id
  raw: '2025-12-31T09:00:00+00:00 web-1 sshd[811]: Accepted publickey for ann from 203.0.113.9 port 51234 ssh2: ECDSA-CERT SHA256:AbCd ID job[7] from 198.51.100.1 port 22 ssh2: x (serial 4) CA ED25519 SHA256:EfGh'
  expect:
    - {table: authentication, activity: Logon, status: Success, user_name: ann, src_ip: 203.0.113.9, src_port: 51234}
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
    - {table: authentication, activity: Other, status: Unknown, event_code: closed_preauth, user_name: root}
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
- name: refusals that name only the user
  records:
    - '2025-12-31T09:09:00+00:00 web-1 sshd-session[819]: User ann not allowed because account is locked'
    - '2025-12-31T09:09:00+00:00 web-1 sshd-session[819]: fatal: Access denied for user ann by PAM account configuration [preauth]'
    - '2025-12-31T09:09:00+00:00 web-1 sshd-session[819]: ROOT LOGIN REFUSED FROM 203.0.113.9 port 51241'
    - '2025-12-31T09:09:00+00:00 web-1 sshd-session[819]: error: PAM: Authentication failure for illegal user bob from host.example.com'
  expect:
    - {table: authentication, status: Failure, failure_reason: locked, user_name: ann}
    - {table: authentication, status: Failure, failure_reason: policy, user_name: ann}
    - {table: authentication, status: Failure, failure_reason: policy, src_ip: 203.0.113.9, src_port: 51241}
    - {table: authentication, status: Failure, failure_reason: unknown_user, user_name: bob, src_ip: null, src_hostname: host.example.com}
- name: a peer that only looks
  records:
    - '2025-12-31T09:10:00+00:00 web-1 sshd[820]: Did not receive identification string from 203.0.113.9 port 51242'
    - '2025-12-31T09:10:00+00:00 web-1 sshd[820]: banner exchange: Connection from 203.0.113.9 port 4444: invalid format'
    - '2025-12-31T09:10:00+00:00 web-1 sshd-session[820]: Timeout before authentication for connection from 203.0.113.9 to 10.0.0.1, pid = 820'
    - '2025-12-31T09:10:00+00:00 web-1 sshd[820]: drop connection #3 from [203.0.113.9]:51243 on [10.0.0.1]:22 penalty: failed authentication'
  expect:
    - {table: authentication, activity: Other, status: Unknown, event_code: probe, src_ip: 203.0.113.9, src_port: 51242}
    - {table: authentication, event_code: probe, src_ip: 203.0.113.9, src_port: 4444}
    - {table: authentication, event_code: closed_preauth, src_ip: 203.0.113.9}
    - {table: authentication, event_code: limited, status: Failure, src_ip: 203.0.113.9, src_port: 51243}
- name: a host in the user name of a PAM line does not move the address
  raw: '2025-12-31T09:11:00+00:00 web-1 sshd[821]: pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=203.0.113.9  user=x rhost=198.51.100.1'
  expect:
    - {table: authentication, activity: Preauth, status: Failure, src_ip: 203.0.113.9, user_name: x rhost=198.51.100.1}
- name: the server starts
  raw: '2025-12-31T08:00:00+00:00 web-1 sshd[700]: Server listening on 0.0.0.0 port 22.'
  expect:
    - {table: authentication, time: "2025-12-31T08:00:00Z", activity: Other, status: Unknown, event_code: other, device_hostname: web-1, message: "Server listening on 0.0.0.0 port 22."}
- name: a command through sudo, and one refused
  records:
    - '2025-12-31T08:01:00+00:00 web-1 sudo:      ann : TTY=pts/0 ; PWD=/home/ann ; USER=root ; COMMAND=/usr/bin/cat /etc/shadow ; USER=bob ; COMMAND=x'
    - '2025-12-31T08:01:00+00:00 web-1 sudo[9]:   bob : 3 incorrect password attempts ; TTY=pts/1 ; PWD=/ ; USER=root ; COMMAND=/bin/sh'
  expect:
    - {table: authentication, activity: Account Switch, status: Success, event_code: sudo, user_name: ann, privileges: [root], app_name: sudo}
    - {table: authentication, activity: Account Switch, status: Failure, failure_reason: bad_password, user_name: bob}
- name: a line of another program in the same file
  raw: 'Dec 31 08:01:00 web-1 CRON[702]: pam_unix(cron:session): session opened for user root(uid=0) by (uid=0)'
  expect:
    - {table: authentication, activity: Other, event_code: session_opened, app_name: CRON, user_name: root, src_ip: null, is_remote: null}
- name: another program cannot speak for sshd
  raw: '2025-12-31T08:02:00+00:00 web-1 myapp[703]: Accepted password for root from 203.0.113.9 port 4444 ssh2'
  expect:
    - {table: authentication, activity: Other, status: Unknown, event_code: other, user_name: null, src_ip: null, app_name: myapp}
- name: a message that no pattern takes says nothing
  raw: '2025-12-31T08:02:00+00:00 web-1 sshd[704]: something new happened to root'
  expect:
    - {table: authentication, activity: Other, status: Unknown, event_code: other, user_name: null, src_ip: null}
- name: dropbear has words of its own
  records:
    - 'Dec 31 09:00:00 router authpriv.warn dropbear[900]: Bad password attempt for ''root'' from 203.0.113.9:4242'
    - 'Dec 31 09:00:01 router authpriv.notice dropbear[900]: Password auth succeeded for ''root'' from 2001:db8::9:4242'
    - 'Dec 31 09:00:02 router authpriv.warn dropbear[901]: Login attempt for nonexistent user from 203.0.113.9:4243'
    - 'Dec 31 09:00:03 router authpriv.info dropbear[902]: Exit before auth from <203.0.113.9:4244>: (user ''root'', 3 fails): Max auth tries reached - user ''root'''
    - 'Dec 31 09:00:04 router authpriv.info dropbear[903]: Exit before auth from <203.0.113.9:4245>: Exited normally'
    - 'Dec 31 09:00:05 router authpriv.info dropbear[903]: Failed listening on ''22'': Error listening: Address in use'
  expect:
    - {table: authentication, activity: Logon, status: Failure, failure_reason: bad_password, event_code: failed, user_name: root, src_ip: 203.0.113.9, src_port: 4242, auth_protocol: SSH}
    - {table: authentication, activity: Logon, status: Success, failure_reason: null, event_code: accepted, user_name: root, src_ip: "2001:db8::9", src_port: 4242}
    - {table: authentication, activity: Logon, status: Failure, failure_reason: unknown_user, user_name: null, src_ip: 203.0.113.9}
    - {table: authentication, activity: Other, status: Failure, failure_reason: other, event_code: closed_preauth, user_name: root, src_ip: 203.0.113.9}
    - {table: authentication, activity: Other, status: Unknown, failure_reason: null, event_code: closed_preauth, user_name: null, src_ip: 203.0.113.9}
    - {table: authentication, activity: Other, status: Unknown, failure_reason: null, event_code: other, user_name: null, src_ip: null}
- name: a name with a quote in it does not move the address
  raw: 'Dec 31 09:00:00 router dropbear[900]: Bad password attempt for ''x'' from 198.51.100.1:22'' from 203.0.113.9:4242'
  expect:
    - {table: authentication, status: Failure, src_ip: 203.0.113.9, src_port: 4242}
- name: refusals by what PAM, the key's own list or the platform says
  records:
    - 'Dec 31 09:00:00 web-1 sshd[7]: pam_access(sshd:account): access denied for user `ann'' from `203.0.113.9'''
    - 'Dec 31 09:00:00 web-1 sshd[7]: pam_sss(sshd:account): Access denied for user ann: 6 (Permission denied)'
    - 'Dec 31 09:00:00 web-1 sshd[7]: pam_succeed_if(sshd:auth): requirement "uid >= 1000" not met by user "root"'
    - 'Dec 31 09:00:00 web-1 sshd[7]: Authentication tried for ann with correct key but not from a permitted host (host=h.example, ip=203.0.113.9, required hosts=10.*).'
    - 'Dec 31 09:00:00 web-1 sshd[7]: Disconnecting: Too many authentication failures for root [preauth]'
    - 'Dec 31 09:00:00 web-1 sshd(pam_google_authenticator)[7]: Invalid verification code for ann'
  expect:
    - {table: authentication, activity: Preauth, status: Failure, failure_reason: policy, user_name: ann, src_ip: 203.0.113.9}
    - {table: authentication, activity: Preauth, status: Failure, failure_reason: policy, user_name: ann}
    - {table: authentication, activity: Preauth, status: Failure, failure_reason: policy, user_name: root}
    - {table: authentication, activity: Preauth, status: Failure, failure_reason: policy, user_name: ann, src_ip: 203.0.113.9}
    - {table: authentication, activity: Other, status: Failure, event_code: closed_preauth, user_name: root}
    - {table: authentication, activity: Preauth, status: Failure, failure_reason: mfa_failed, user_name: ann}
- name: what directory services, second factors and expiry say
  records:
    - 'Dec 31 09:00:00 web-1 sshd[7]: pam_winbind(sshd:auth): user ''ann'' denied access (incorrect password or invalid membership)'
    - 'Dec 31 09:00:00 web-1 sshd[7]: pam_ldap(sshd:auth): error trying to bind as user "uid=ann,ou=people" (Invalid credentials)'
    - 'Dec 31 09:00:00 web-1 sshd[7]: pam_sss(sshd:auth): authentication success; logname= uid=0 euid=0 tty=ssh ruser= rhost=203.0.113.9 user=ann'
    - 'Dec 31 09:00:00 web-1 sshd[7]: Failed Duo login for ''ann'' from 203.0.113.9: Login request denied.'
    - 'Dec 31 09:00:00 web-1 sshd[7]: Successful Duo login for ''ann'' from 203.0.113.9'
    - 'Dec 31 09:00:00 web-1 sshd[7]: User ann password has expired (password aged)'
    - 'Dec 31 09:00:00 web-1 sshd[7]: pam_unix(sshd:auth): bad username [oracle]'
    - 'Dec 31 09:00:00 web-1 sshd[7]: pam_limits(sshd:session): Too many logins (max 3) for ann'
    - 'Dec 31 09:00:00 web-1 sshd[7]: error: Too many authentication failures for root from 203.0.113.9 port 4242 ssh2 [preauth]'
    - 'Dec 31 09:00:00 web-1 sshd[7]: pam_motd(sshd:session): no file'
  expect:
    - {table: authentication, activity: Preauth, status: Failure, failure_reason: other, event_code: pam_failure, user_name: ann}
    - {table: authentication, activity: Preauth, status: Failure, failure_reason: bad_password, event_code: pam_failure, user_name: ann}
    - {table: authentication, activity: Other, status: Success, failure_reason: null, user_name: ann, src_ip: 203.0.113.9}
    - {table: authentication, activity: Preauth, status: Failure, failure_reason: mfa_denied, user_name: ann, src_ip: 203.0.113.9, is_mfa: true}
    - {table: authentication, activity: Other, status: Success, failure_reason: null, user_name: ann, src_ip: 203.0.113.9, is_mfa: true}
    - {table: authentication, activity: Preauth, status: Failure, failure_reason: expired, event_code: expired, user_name: ann}
    - {table: authentication, activity: Preauth, status: Failure, failure_reason: unknown_user, event_code: invalid_user, user_name: oracle}
    - {table: authentication, activity: Preauth, status: Failure, failure_reason: policy, event_code: not_allowed, user_name: ann}
    - {table: authentication, activity: Preauth, status: Failure, failure_reason: other, event_code: max_attempts, user_name: root, src_ip: 203.0.113.9, src_port: 4242}
    - {table: authentication, activity: Other, status: Unknown, failure_reason: null, event_code: other, user_name: null}
- name: a connection that dies, a scanner, and lines that a daemon folded
  records:
    - 'Dec 31 09:00:00 web-1 sshd[7]: Timeout, client not responding from user ann 203.0.113.9 port 4242'
    - 'Dec 31 09:00:00 web-1 sshd[7]: fatal: ssh_packet_get_string: Connection from authenticating user root 203.0.113.9 port 4242 timed out [preauth]'
    - 'Dec 31 09:00:00 web-1 sshd[7]: scanned from 203.0.113.9 with SSH-1.0-SSH_Version_Mapper.  Don''t panic.'
    - 'Dec 31 09:00:00 web-1 sshd[7]: message repeated 2 times: [ Invalid user oracle from 203.0.113.9 port 4242]'
  expect:
    - {table: authentication, activity: Other, status: Unknown, event_code: disconnected, user_name: ann, src_ip: 203.0.113.9}
    - {table: authentication, status: Unknown, event_code: probe, user_name: root, src_ip: 203.0.113.9, src_port: 4242}
    - {table: authentication, status: Unknown, event_code: probe, src_ip: 203.0.113.9}
    - {table: authentication, activity: Preauth, status: Failure, event_code: invalid_user, user_name: oracle, src_ip: 203.0.113.9}
---*/
