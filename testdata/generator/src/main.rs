//! The generator on the command line: `bulk SOURCE --bytes 200MB` and `scenario NAME`, to stdout;
//! `refused EVENTS`, also to stdout; `rules FOLDER --total 1000 --out FOLDER`; `enterprise FOLDER`.

use std::{
    io::{self, BufWriter, ErrorKind, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use sluice_generator::{
    Enterprise, Format, Generator, HEADER_V5, Refused, SOURCES, Scenario, cloudtrail_envelope,
    multiply,
};

const USAGE: &str = "usage: sluice-generator bulk SOURCE [--bytes 200MB] [OPTIONS]
       sluice-generator scenario okta|lateral|cloudtrail [--source SOURCE] [OPTIONS]
       sluice-generator refused EVENTS [--users N] [--addresses N] [--over SECONDS] [OPTIONS]
       sluice-generator rules FOLDER --out FOLDER [--total 1000]
       sluice-generator enterprise FOLDER [--users 400] [--days 120] [--campaigns 60] [--seed N]

SOURCE is one of okta.system, aws.cloudtrail, kubernetes.audit, aws.vpc_flow, linux.sshd.
A scenario of two sources needs --source to write one of them.
`refused` writes refused passwords of linux.sshd: of 20000 users and addresses in 600 seconds.
`rules` copies the rules of a folder, with other values in their conditions, until there are --total.
`enterprise` writes events.ndjson, labels.csv and campaigns.csv; the first 30 days are not attacked.

options: --seed N          default 1
         --start MILLIS    first event, milliseconds since 1970 (default 2026-01-01T09:00:00Z)
         --extended        VPC flow version 5 with its header, syslog of RFC 5424
         --envelope        CloudTrail as {\"Records\":[..]} (scenarios only)";

/// 2026-01-01T09:00:00Z.
const START: i64 = 1_767_258_000_000;

/// Users whose passwords are refused, unless told.
const USERS: u64 = 20_000;

struct Arguments {
    verb: String,
    what: String,
    bytes: u64,
    source: Option<String>,
    seed: u64,
    start: i64,
    format: Format,
    envelope: bool,
    total: usize,
    out: Option<PathBuf>,
    users: u64,
    addresses: u64,
    seconds: u64,
    days: u64,
    campaigns: u64,
}

fn main() -> ExitCode {
    let arguments = match parse(std::env::args().skip(1)) {
        Some(arguments) => arguments,
        None => return usage(),
    };
    match write(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => usage(),
        // The reader had enough.
        Err(e) if e.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::FAILURE
        }
    }
}

fn usage() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::from(2)
}

/// Writes what was asked for; `false` if there is no such thing.
fn write(arguments: &Arguments) -> io::Result<bool> {
    if arguments.verb == "rules" {
        let Some(to) = &arguments.out else { return Ok(false) };
        let written = multiply(Path::new(&arguments.what), to, arguments.total)?;
        eprintln!("{written} rules in {}", to.display());
        return Ok(true);
    }
    if arguments.verb == "enterprise" {
        let to = Path::new(&arguments.what);
        let made = Enterprise {
            people: if arguments.users == USERS { 400 } else { arguments.users },
            days: arguments.days as i64,
            warmup: 30,
            campaigns: arguments.campaigns,
            seed: arguments.seed,
        }
        .make();
        std::fs::create_dir_all(to)?;
        std::fs::write(to.join("events.ndjson"), made.events)?;
        std::fs::write(to.join("labels.csv"), made.labels)?;
        std::fs::write(to.join("campaigns.csv"), made.campaigns)?;
        return Ok(true);
    }
    let generator = Generator::new(arguments.seed, arguments.start).format(arguments.format);
    let mut out = BufWriter::new(io::stdout().lock());
    match arguments.verb.as_str() {
        "bulk" => {
            let Some(lines) = generator.bulk(&arguments.what) else { return Ok(false) };
            header(&mut out, &arguments.what, arguments.format)?;
            let mut left = arguments.bytes;
            for line in lines {
                let size = line.text.len() as u64 + 1;
                if size > left {
                    break;
                }
                left -= size;
                writeln!(out, "{}", line.text)?;
            }
        }
        "scenario" => {
            let Some(scenario) = Scenario::parse(&arguments.what) else { return Ok(false) };
            let mut lines = generator.scenario(scenario);
            let source = arguments.source.as_deref().or(lines.first().map(|l| l.source));
            let source = source.unwrap_or_default().to_owned();
            let mixed = lines.iter().any(|l| l.source != source);
            if (mixed && arguments.source.is_none()) || !SOURCES.contains(&source.as_str()) {
                return Ok(false);
            }
            lines.retain(|l| l.source == source);
            header(&mut out, &source, arguments.format)?;
            if arguments.envelope {
                writeln!(out, "{}", cloudtrail_envelope(lines.iter()))?;
            } else {
                lines.iter().try_for_each(|line| writeln!(out, "{}", line.text))?;
            }
        }
        "refused" => {
            let Some(events) = positive(&arguments.what) else { return Ok(false) };
            let (users, addresses) = (arguments.users, arguments.addresses);
            let refused = Refused { events, users, addresses, seconds: arguments.seconds };
            generator.refused(refused).try_for_each(|line| writeln!(out, "{}", line.text))?;
        }
        _ => return Ok(false),
    }
    out.flush()?;
    Ok(true)
}

fn header(out: &mut impl Write, source: &str, format: Format) -> io::Result<()> {
    if source == "aws.vpc_flow" && format == Format::Extended {
        writeln!(out, "{HEADER_V5}")?;
    }
    Ok(())
}

fn parse(mut words: impl Iterator<Item = String>) -> Option<Arguments> {
    let mut arguments = Arguments {
        verb: words.next()?,
        what: words.next()?,
        bytes: 200_000_000,
        source: None,
        seed: 1,
        start: START,
        format: Format::Classic,
        envelope: false,
        total: 1000,
        out: None,
        users: USERS,
        addresses: 20_000,
        seconds: 600,
        days: 120,
        campaigns: 60,
    };
    while let Some(word) = words.next() {
        match word.as_str() {
            "--bytes" => arguments.bytes = size(&words.next()?)?,
            "--source" => arguments.source = words.next(),
            "--seed" => arguments.seed = words.next()?.parse().ok()?,
            "--start" => arguments.start = words.next()?.parse().ok()?,
            "--extended" => arguments.format = Format::Extended,
            "--total" => arguments.total = words.next()?.parse().ok()?,
            "--out" => arguments.out = words.next().map(PathBuf::from),
            "--users" => arguments.users = positive(&words.next()?)?,
            "--addresses" => arguments.addresses = positive(&words.next()?)?,
            "--days" => {
                arguments.days = positive(&words.next()?).filter(|n| (40..=3_000).contains(n))?
            }
            "--campaigns" => arguments.campaigns = positive(&words.next()?)?,
            "--over" => arguments.seconds = positive(&words.next()?)?,
            "--envelope" => arguments.envelope = true,
            _ => return None,
        }
    }
    Some(arguments)
}

/// A whole number from 1 to 2^24.
fn positive(text: &str) -> Option<u64> {
    text.parse().ok().filter(|n| (1..=1 << 24).contains(n))
}

/// `200MB`, `5kB`, `1GB` or plain bytes; units of a thousand.
fn size(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text.trim_start_matches(|c: char| c.is_ascii_digit()) {
        "" | "B" => 1,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}
