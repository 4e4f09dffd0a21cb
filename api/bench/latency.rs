//! Measures the way of an event from its producer to a durable finding: background lines at a rate,
//! and between them sign-in events that make a finding, each stamped with the moment it is sent. When
//! the finding arrives on the live stream it is durable. Not part of the product.
//!
//! `latency BROKERS URL TOKEN RATE SECONDS [TOPIC]`: `kcat` must be there to produce, a topic (`okta`)
//! to produce to, and a `sluice run` that reads it as `okta.system`. Prints one line of a table.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    unused_crate_dependencies,
    reason = "a measurement at the command line"
)]

use std::{
    io::{BufRead, BufReader, BufWriter, Write},
    process::{Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use serde_json::Value;
use sluice_generator::Generator;

/// A finding each so many milliseconds.
const PROBE_EVERY: u64 = 20;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [brokers, url, token, rate, seconds, topic @ ..] = arguments.as_slice() else {
        eprintln!("usage: latency BROKERS URL TOKEN RATE SECONDS [TOPIC]");
        std::process::exit(3);
    };
    let topic = topic.first().map_or("okta", String::as_str);
    let (rate, seconds): (u64, u64) = (rate.parse().unwrap(), seconds.parse().unwrap());
    let latencies: Arc<Mutex<Vec<i64>>> = Arc::default();
    let stop = Arc::new(AtomicBool::new(false));
    let listener = thread::spawn({
        let (url, token) = (format!("{url}/api/v1/findings/stream"), token.clone());
        let (latencies, stop) = (latencies.clone(), stop.clone());
        move || listen(&url, &token, &latencies, &stop)
    });
    thread::sleep(Duration::from_secs(1));
    let sent = produce(brokers, topic, rate, seconds);
    thread::sleep(Duration::from_secs(3));
    stop.store(true, Ordering::Relaxed);
    let mut latencies = std::mem::take(&mut *latencies.lock().unwrap());
    latencies.sort_unstable();
    let at = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize];
    if latencies.is_empty() {
        println!("no finding of {} came", sent.1);
    } else {
        println!(
            "| {} | {} | {} of {} | {} | {} | {} |",
            rate,
            sent.0,
            latencies.len(),
            sent.1,
            at(0.5),
            at(0.99),
            at(1.0)
        );
    }
    drop(listener);
}

/// Sends for so many seconds; how many background lines and probes.
fn produce(brokers: &str, topic: &str, rate: u64, seconds: u64) -> (u64, u64) {
    let mut kcat = Command::new("kcat")
        .args(["-P", "-b", brokers, "-t", topic, "-X", "linger.ms=5"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufWriter::new(kcat.stdin.take().unwrap());
    let start = now();
    let mut lines = Generator::new(7, start).bulk("okta.system").unwrap();
    let began = Instant::now();
    let (mut background, mut probes) = (0, 0);
    while began.elapsed() < Duration::from_secs(seconds) {
        let passed = began.elapsed().as_millis() as u64;
        while background < passed * rate / 1000 {
            let Some(line) = lines.next() else { break };
            writeln!(out, "{}", line.text).unwrap();
            background += 1;
        }
        if probes < passed / PROBE_EVERY {
            probes += 1;
            writeln!(out, "{}", probe(start, probes)).unwrap();
            out.flush().unwrap();
        }
        thread::sleep(Duration::from_millis(1));
    }
    drop(out);
    kcat.wait().unwrap();
    (background, probes)
}

/// The creation of an API token, now.
fn probe(run: i64, number: u64) -> String {
    let time = sluice_event::rfc3339(now());
    format!(
        r#"{{"uuid":"probe-{run}-{number}","published":"{time}","eventType":"system.api_token.create","severity":"INFO","outcome":{{"result":"SUCCESS"}},"actor":{{"alternateId":"probe@example.com","type":"User"}},"target":[{{"type":"Token","displayName":"probe {number}"}}]}}"#
    )
}

/// Notes how long after its event each finding arrives.
fn listen(url: &str, token: &str, latencies: &Mutex<Vec<i64>>, stop: &AtomicBool) {
    let answer = ureq::get(url).header("Authorization", format!("Bearer {token}")).call().unwrap();
    let lines = BufReader::new(answer.into_body().into_reader()).lines();
    for line in lines.map_while(Result::ok) {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let Some(data) = line.strip_prefix("data:") else { continue };
        let Ok(finding) = serde_json::from_str::<Value>(data) else { continue };
        let probe = finding["title"].as_str().is_some_and(|t| t.contains("probe"));
        if probe && let Some(time) = finding["time"].as_str().and_then(sluice_rule::resolve_time) {
            latencies.lock().unwrap().push(now() - time);
        }
    }
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}
