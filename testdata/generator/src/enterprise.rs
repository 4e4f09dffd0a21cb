//! An enterprise over some months: sign-ins of people with roles and of service accounts, on which days
//! they work, what changes for good reasons, and attacks. For measuring baselines; not a log format of
//! anybody, and not what the demo shows.
//!
//! People travel, replace devices, change roles, are ill, on holiday, join and leave. Campaigns take over
//! an account for one to four days. What is benign is as odd as an enterprise is: a day off does not make
//! a score good.

use std::collections::BTreeMap;

use crate::{civil, random::Random};

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;
/// Applications and hosts of each role.
const OF_ROLE: u64 = 12;
const ROLES: [&str; 6] = ["engineering", "finance", "sales", "support", "operations", "legal"];
/// Applications that everybody uses.
const COMMON: [&str; 5] = ["mail", "calendar", "wiki", "chat", "payslips"];
/// Country, its networks and its offset from UTC in hours.
const HOMES: [(&str, u64, i64); 5] =
    [("DE", 3_320, 1), ("NL", 1_136, 1), ("GB", 2_856, 0), ("US", 7_922, -5), ("IN", 9_829, 5)];
const ABROAD: [(&str, u64); 6] =
    [("FR", 3_215), ("ES", 3_352), ("SE", 1_257), ("JP", 2_516), ("BR", 28_573), ("ZA", 37_457)];
const HOSTILE: [(&str, u64); 4] = [("RU", 12_389), ("BR", 28_573), ("VN", 45_899), ("NL", 60_781)];

/// What to make.
#[derive(Clone, Copy, Debug)]
pub struct Enterprise {
    /// People; a service account is added for every ten.
    pub people: u64,
    /// Days, from a Monday.
    pub days: i64,
    /// The first days, in which nothing is attacked and which have no labels.
    pub warmup: i64,
    /// Attacks.
    pub campaigns: u64,
    /// The seed.
    pub seed: u64,
}

/// What was made.
#[derive(Clone, Debug, Default)]
pub struct EnterpriseLogs {
    /// One JSON object a line, by time: time, entity, country, network, application, device, host, bytes,
    /// tz.
    pub events: String,
    /// `entity,unit,label` of every day of an entity after the warm-up; label 1: an attacker was active.
    pub labels: String,
    /// `campaign,kind,entity,unit`: the days of each attack.
    pub campaigns: String,
}

/// 2026-01-05, a Monday.
const START: i64 = 20_458 * DAY;

struct Person {
    name: String,
    role: u64,
    home: (&'static str, u64, i64),
    /// The number of networks at home, and which is theirs.
    provider: u64,
    devices: u64,
    start_hour: i64,
    /// Which of the role's applications and hosts they use.
    habits: u64,
    joins: i64,
    leaves: i64,
    /// The day on which the role changes, and the next role.
    moves: Option<(i64, u64)>,
    /// First and last day away, and where.
    travels: Vec<(i64, i64, (&'static str, u64))>,
    vacation: (i64, i64),
    is_service: bool,
}

struct Campaign {
    kind: &'static str,
    person: usize,
    from: i64,
    days: i64,
}

struct Writer {
    rows: Vec<(i64, String)>,
    active: BTreeMap<(String, i64), u8>,
}

impl Enterprise {
    /// Makes it; the same values give the same bytes.
    pub fn make(self) -> EnterpriseLogs {
        let mut random = Random::new(self.seed, "enterprise");
        let people: Vec<Person> = (0..self.people + self.people / 10)
            .map(|i| self.person(i, i >= self.people, &mut random))
            .collect();
        let holidays: Vec<i64> = (0..3)
            .map(|_| random.range(self.warmup / 2, self.days.max(self.warmup / 2 + 1)))
            .collect();
        let mut writer = Writer { rows: Vec::new(), active: BTreeMap::new() };
        for day in 0..self.days {
            for person in &people {
                person.day(day, holidays.contains(&day), &mut random, &mut writer);
            }
        }
        let campaigns: Vec<Campaign> =
            (0..self.campaigns).map(|i| self.campaign(i, &people, &mut random)).collect();
        let mut listed = "campaign,kind,entity,unit\n".to_owned();
        for (number, campaign) in campaigns.iter().enumerate() {
            let person = &people[campaign.person];
            for day in campaign.from..campaign.from + campaign.days {
                person.attacked(campaign, day, &people, &mut random, &mut writer);
                writer.active.insert((person.name.clone(), day), 1);
                let (kind, unit) = (campaign.kind, instant(START + day * DAY));
                listed.push_str(&format!("{number},{kind},{},{unit}\n", person.name));
            }
        }
        writer.rows.sort();
        let mut labels = "entity,unit,label\n".to_owned();
        for ((entity, day), label) in &writer.active {
            if *day >= self.warmup {
                labels.push_str(&format!("{entity},{},{label}\n", instant(START + day * DAY)));
            }
        }
        let events = writer.rows.into_iter().map(|(_, text)| text + "\n").collect();
        EnterpriseLogs { events, labels, campaigns: listed }
    }

    fn person(self, index: u64, is_service: bool, random: &mut Random) -> Person {
        let home = HOMES[random.skewed(HOMES.len() as u64) as usize];
        let role = random.below(ROLES.len() as u64);
        let day = |random: &mut Random| random.range(0, self.days.max(1));
        let travels = (0..random.below(1 + self.days.unsigned_abs() / 40)).map(|_| {
            let from = day(random);
            (from, from + random.range(1, 6), *random.pick(&ABROAD))
        });
        let travels = travels.collect();
        let vacation = day(random);
        let moves = random.chance(6).then(|| (day(random), random.below(ROLES.len() as u64)));
        Person {
            name: if is_service { format!("svc-{index}") } else { format!("u{index}@example.com") },
            role,
            home,
            provider: home.1 + random.below(6),
            devices: 1 + random.below(2),
            start_hour: random.range(6, 11),
            habits: random.next(),
            joins: if random.chance(10) { day(random) } else { 0 },
            leaves: if random.chance(5) { day(random) } else { i64::MAX },
            moves,
            travels,
            vacation: (vacation, vacation + random.range(5, 15)),
            is_service,
        }
    }

    fn campaign(self, number: u64, people: &[Person], random: &mut Random) -> Campaign {
        let kinds =
            ["stolen_password", "stolen_session", "insider", "lateral_movement", "service_account"];
        let kind = kinds[(number % kinds.len() as u64) as usize];
        let days = random.range(1, 5);
        let last = (self.days - days).max(self.warmup + 1);
        loop {
            let person = random.below(people.len() as u64) as usize;
            let from = random.range(self.warmup, last);
            let known = &people[person];
            let is_there = known.joins + 10 < from && known.leaves > from + days;
            if is_there && known.is_service == (kind == "service_account") {
                return Campaign { kind, person, from, days };
            }
        }
    }
}

impl Person {
    fn role(&self, day: i64) -> u64 {
        self.moves.filter(|(from, _)| *from <= day).map_or(self.role, |(_, role)| role)
    }

    /// One of a few things of a role that this person uses; seldom another one.
    fn usual(&self, kind: &str, role: u64, random: &mut Random) -> String {
        let at = if random.chance(3) {
            random.below(OF_ROLE)
        } else {
            (self.habits >> (random.skewed(5) * 8)) % OF_ROLE
        };
        format!("{kind}-{}-{at}", ROLES[role as usize])
    }

    fn device(&self, day: i64, random: &mut Random) -> String {
        // Devices are replaced after half a year, at a day of their own.
        let age = (day + (self.habits % 180) as i64) / 180;
        format!("{}-d{}-{age}", self.name, random.skewed(self.devices))
    }

    fn day(&self, day: i64, is_holiday: bool, random: &mut Random, writer: &mut Writer) {
        if day < self.joins || day >= self.leaves {
            return;
        }
        if self.is_service {
            let host = format!("host-{}-{}", ROLES[self.role as usize], self.habits % OF_ROLE);
            for hour in 0..24 {
                let time = START + day * DAY + hour * HOUR + (self.habits % 60) as i64 * 60_000;
                let bytes = 200_000 + random.below(20_000);
                let row = ["DE", "3320", "backup", "datacentre", &host];
                writer.row(&self.name, time, row, bytes, 0);
            }
            writer.active.entry((self.name.clone(), day)).or_insert(0);
            return;
        }
        let weekend = day.rem_euclid(7) >= 5;
        let away = (self.vacation.0..=self.vacation.1).contains(&day) || random.chance(4);
        if away || (weekend || is_holiday) && !random.chance(6) {
            return;
        }
        let travel = self.travels.iter().find(|(from, to, _)| (*from..=*to).contains(&day));
        let (country, network) = match travel {
            Some((.., (country, network))) => (*country, *network),
            None if random.chance(4) => (self.home.0, self.home.1 + 50 + random.below(20)),
            None => (self.home.0, self.provider),
        };
        let network = network.to_string();
        let role = self.role(day);
        for _ in 0..4 + random.below(12) {
            let hour = self.start_hour + random.skewed(9) as i64 - self.home.2;
            let time = START + day * DAY + hour * HOUR + random.range(0, HOUR);
            let app = if random.chance(40) {
                (*random.pick(&COMMON)).to_owned()
            } else {
                self.usual("app", role, random)
            };
            let host = self.usual("host", role, random);
            let device = self.device(day, random);
            let bytes = 2_000 + random.skewed(400_000);
            writer.row(
                &self.name,
                time,
                [country, &network, &app, &device, &host],
                bytes,
                self.home.2,
            );
        }
        writer.active.entry((self.name.clone(), day)).or_insert(0);
    }

    fn attacked(
        &self,
        campaign: &Campaign,
        day: i64,
        people: &[Person],
        random: &mut Random,
        writer: &mut Writer,
    ) {
        let (hostile, hostile_network) = *random.pick(&HOSTILE);
        let role = self.role(day);
        let stranger = format!("dev-{}", random.hex(6));
        let other = random.pick(people).role;
        for _ in 0..3 + random.below(10) {
            let hour = random.range(0, 24);
            let own_hour = self.start_hour + random.skewed(9) as i64 - self.home.2;
            let (home, provider) = (self.home.0, self.provider);
            let own = self.device(day, random);
            let any_host = format!("host-{}-{}", ROLES[other as usize], random.below(OF_ROLE));
            let (hour, country, network, device, app, host, bytes) = match campaign.kind {
                "stolen_password" => {
                    let (app, host) = (random.pick(&COMMON), self.usual("host", role, random));
                    let bytes = 2_000 + random.skewed(400_000);
                    (
                        hour,
                        hostile,
                        hostile_network,
                        stranger.clone(),
                        (*app).to_owned(),
                        host,
                        bytes,
                    )
                }
                "stolen_session" => {
                    let (app, host) = (self.usual("app", role, random), any_host);
                    (own_hour, home, hostile_network, stranger.clone(), app, host, 400_000)
                }
                "insider" => {
                    let app = format!("app-{}-{}", ROLES[other as usize], random.below(OF_ROLE));
                    (own_hour + 8, home, provider, own, app, any_host, 900_000_000)
                }
                "lateral_movement" => {
                    let app = "remote-desktop".to_owned();
                    (own_hour, home, provider, own, app, any_host, 30_000)
                }
                _ => (hour, "DE", 3_320, stranger.clone(), "shell".to_owned(), any_host, 5_000_000),
            };
            let time = START + day * DAY + hour * HOUR + random.range(0, HOUR);
            let time = time.clamp(START + day * DAY, START + (day + 1) * DAY - 1);
            let network = network.to_string();
            writer.row(
                &self.name,
                time,
                [country, &network, &app, &device, &host],
                bytes,
                self.home.2,
            );
        }
    }
}

impl Writer {
    fn row(&mut self, entity: &str, time: i64, of: [&str; 5], bytes: u64, offset: i64) {
        let [country, network, application, device, host] = of;
        let time_text = instant(time);
        let text = format!(
            "{{\"time\":\"{time_text}\",\"entity\":\"{entity}\",\"country\":\"{country}\",\
             \"network\":\"{network}\",\"application\":\"{application}\",\"device\":\"{device}\",\
             \"host\":\"{host}\",\"bytes\":{bytes},\"tz\":\"{offset:+03}00\"}}"
        );
        self.rows.push((time, text));
        // Work that goes on past midnight is of the next day.
        let day = (time - START).div_euclid(DAY);
        self.active.entry((entity.to_owned(), day)).or_insert(0);
    }
}

fn instant(time: i64) -> String {
    civil(time).format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Enterprise =
        Enterprise { people: 60, days: 50, warmup: 25, campaigns: 10, seed: 3 };

    #[test]
    fn the_same_values_give_the_same_bytes() {
        let (first, again) = (SMALL.make(), SMALL.make());
        assert_eq!((&first.events, &first.labels), (&again.events, &again.labels));
        assert_ne!(Enterprise { seed: 4, ..SMALL }.make().events, first.events);
    }

    #[test]
    fn every_campaign_is_labelled_and_every_label_has_events() {
        let made = SMALL.make();
        let days: Vec<String> = made
            .events
            .lines()
            .map(|line| {
                let row: serde_json::Value = serde_json::from_str(line).unwrap();
                let text = |key: &str| row[key].as_str().unwrap().to_owned();
                let time = text("time");
                let (day, _) = time.split_once('T').unwrap();
                format!("{},{day}T00:00:00Z", text("entity"))
            })
            .collect();
        assert!(days.len() > 10_000, "{}", days.len());
        let with_events: std::collections::BTreeSet<&str> =
            days.iter().map(String::as_str).collect();
        let (mut good, mut bad) = (0, std::collections::BTreeSet::new());
        for line in made.labels.lines().skip(1) {
            let (unit, label) = line.rsplit_once(',').unwrap();
            assert!(with_events.contains(unit), "{unit}");
            if label == "1" {
                bad.insert(unit);
            } else {
                good += 1;
            }
        }
        assert!(good > 500 && bad.len() >= 10, "{good} and {}", bad.len());
        let mut kinds = std::collections::BTreeSet::new();
        for line in made.campaigns.lines().skip(1) {
            let parts: Vec<&str> = line.splitn(3, ',').collect();
            kinds.insert(parts[1]);
            assert!(bad.contains(parts[2]), "{line}");
        }
        assert_eq!(kinds.len(), 5);
    }
}
