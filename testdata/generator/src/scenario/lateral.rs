//! VPC flow and sshd: lateral movement from one compromised host and a large transfer, 75 minutes.
//!
//! The host is 10.20.0.57; it does nothing else.
//!
//! | minute | what |
//! |---|---|
//! | 15:00-16:58 | port scan of 10.20.1.20: 60 ports (1000-1059), every 2 s, all REJECT |
//! | 20:00-23:56 | sweep of 60 hosts, 10.20.2.4-10.20.2.63, one every 4 s, on 22, 445 and 3389: REJECT but for 22 on 10.20.2.12, .17 and .22 |
//! | 26:00-28:51 | sshd: failed passwords from 10.20.0.57 on app-3, db-2 and web-5: 20 per server, every 9 s, for root, admin, deploy, postgres, ubuntu and oracle (the last three do not exist) |
//! | 30:00 | sshd: Accepted password for deploy on app-3 from 10.20.0.57 |
//! | 31:00 | sshd: Accepted password for root on db-2 from 10.20.0.57 |
//! | 26:00, 30:00, 31:00 | the SSH connections as ACCEPT flows to 10.20.2.22 (web-5), .12 (app-3) and .17 (db-2) |
//! | 34:00, 35:00 | ACCEPT flows to 445 on 10.20.2.30 and 3389 on 10.20.2.31 |
//! | 40:00-49:10 | transfer to 192.0.2.66:443: 8 flows of 800 MB, one every 70 s, 6.4 GB in all; wherever an hour ends, one side has over 3 GB |
//!
//! In the background people log in with keys over 10.20.0.10, nothing is rejected inside, nobody
//! touches 22, 445 or 3389 of another host, and no flow has over 600 kB.

use super::Stage;
use crate::{
    sshd,
    vpc_flow::{self, Flow},
};

const HOST: &str = "10.20.0.57";
/// The index of [`HOST`] and so of its interface.
const INTERFACE: u64 = 53;

pub(super) fn play(stage: &mut Stage) {
    let words = [" 10.20.0.57 ", "192.0.2.66"];
    stage.background(vpc_flow::SOURCE, 3_000, &words);
    stage.background(sshd::SOURCE, 800, &words);

    for n in 0..60u16 {
        flow(stage, 15, i64::from(n) * 2, "10.20.1.20", 1_000 + n, (1, 44), false);
    }
    for n in 0..60i64 {
        let dst = format!("10.20.2.{}", 4 + n);
        for port in [22, 445, 3389] {
            let open = port == 22 && [12, 17, 22].contains(&(4 + n));
            flow(stage, 20, n * 4, &dst, port, if open { (5, 320) } else { (1, 44) }, open);
        }
    }

    let users = [
        "root",
        "admin",
        "deploy",
        "invalid user postgres",
        "invalid user ubuntu",
        "invalid user oracle",
    ];
    for (number, server) in ["app-3", "db-2", "web-5"].into_iter().enumerate() {
        for n in 0..20 {
            let user = users[(n as usize + number) % users.len()];
            let port = 41_000 + n * 3 + number as i64;
            say(
                stage,
                26,
                n * 9,
                server,
                n,
                &format!("Failed password for {user} from {HOST} port {port} ssh2"),
            );
        }
    }
    flow(stage, 26, 0, "10.20.2.22", 22, (412, 61_000), true);
    for (minute, server, user, uid, dst) in
        [(30, "app-3", "deploy", 1_001, "10.20.2.12"), (31, "db-2", "root", 0, "10.20.2.17")]
    {
        say(
            stage,
            minute,
            0,
            server,
            40,
            &format!("Accepted password for {user} from {HOST} port 41777 ssh2"),
        );
        say(
            stage,
            minute,
            0,
            server,
            40,
            &format!(
                "pam_unix(sshd:session): session opened for user {user}(uid={uid}) by {user}(uid=0)"
            ),
        );
        flow(stage, minute, 0, dst, 22, (1_830, 402_000), true);
    }
    flow(stage, 34, 0, "10.20.2.30", 445, (920, 184_000), true);
    flow(stage, 35, 0, "10.20.2.31", 3389, (2_400, 512_000), true);
    for n in 0..8 {
        flow(stage, 40, n * 70, "192.0.2.66", 443, (560_000, 800_000_000), true);
    }
}

fn say(stage: &mut Stage, minute: i64, second: i64, server: &str, pid: i64, message: &str) {
    let time = stage.at(minute, second);
    let line = sshd::line(time, stage.format, server, 7_000 + pid.unsigned_abs(), message);
    stage.add(line);
}

fn flow(
    stage: &mut Stage,
    minute: i64,
    second: i64,
    dst: &str,
    dst_port: u16,
    (packets, bytes): (u64, u64),
    accepted: bool,
) {
    let start = stage.at(minute, second);
    let src_port = stage.random.range(32_768, 60_999) as u16;
    let seconds = if accepted { 60 } else { 1 };
    let flow = Flow {
        interface: INTERFACE,
        src: HOST,
        dst,
        src_port,
        dst_port,
        protocol: 6,
        packets,
        bytes,
        seconds,
        accepted,
    };
    let line = vpc_flow::line(start, stage.format, &flow);
    stage.add(line);
}
