//! The invented company: people, places, addresses. Everything follows from an index, so that
//! thousands of people cost nothing.

/// The AWS account everything happens in.
pub(crate) const ACCOUNT: &str = "123456789012";
/// People with an account.
pub(crate) const PEOPLE: u64 = 5_000;
/// Those of them who are in the scenarios.
pub(crate) const TEAM: u64 = 120;

const FIRST: [&str; 40] = [
    "Ann", "Bo", "Carla", "Deniz", "Emil", "Farah", "Goran", "Hana", "Ines", "Jonas", "Kaja",
    "Liam", "Mira", "Nils", "Olga", "Pia", "Quinn", "Rosa", "Sven", "Tara", "Umut", "Vera", "Wim",
    "Xenia", "Yara", "Zoe", "Arno", "Bela", "Cleo", "Dora", "Enzo", "Fenna", "Gijs", "Hugo", "Ida",
    "Joris", "Klara", "Lotte", "Marek", "Nora",
];
const LAST: [&str; 50] = [
    "Adler", "Bakker", "Conti", "Dahl", "Eriksen", "Fischer", "Garcia", "Haas", "Ivanova",
    "Jansen", "Keller", "Lind", "Moreau", "Novak", "Olsen", "Peters", "Quist", "Rossi", "Santos",
    "Toth", "Ullman", "Visser", "Weber", "Xavier", "Young", "Zeman", "Arnold", "Berg", "Costa",
    "Dijk", "Engel", "Ferrari", "Gruber", "Holm", "Isaksen", "Jung", "Koch", "Lopez", "Meyer",
    "Nagy", "Otto", "Popescu", "Ritter", "Simon", "Torres", "Urban", "Vogel", "Wolf", "Yilmaz",
    "Zola",
];

/// A city and who provides the internet there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) city: &'static str,
    pub(crate) state: &'static str,
    pub(crate) country: &'static str,
    pub(crate) postal: &'static str,
    pub(crate) lat: f64,
    pub(crate) lon: f64,
    pub(crate) asn: u32,
    pub(crate) provider: &'static str,
}

/// Where people work.
pub(crate) const PLACES: [Place; 4] = [
    Place {
        city: "Utrecht",
        state: "Utrecht",
        country: "Netherlands",
        postal: "3511",
        lat: 52.09,
        lon: 5.12,
        asn: 64496,
        provider: "Example Fiber",
    },
    Place {
        city: "Berlin",
        state: "Berlin",
        country: "Germany",
        postal: "10115",
        lat: 52.53,
        lon: 13.38,
        asn: 64497,
        provider: "Example Kabel",
    },
    Place {
        city: "Austin",
        state: "Texas",
        country: "United States",
        postal: "78701",
        lat: 30.27,
        lon: -97.74,
        asn: 64498,
        provider: "Example Cable",
    },
    Place {
        city: "Lyon",
        state: "Auvergne-Rhone-Alpes",
        country: "France",
        postal: "69001",
        lat: 45.77,
        lon: 4.83,
        asn: 64499,
        provider: "Example Telecom",
    },
];

/// Where nobody works: the attackers' exit.
pub(crate) const ELSEWHERE: Place = Place {
    city: "Chisinau",
    state: "Chisinau",
    country: "Moldova",
    postal: "2001",
    lat: 47.01,
    lon: 28.86,
    asn: 64511,
    provider: "Example Hosting",
};

/// A person by index.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    pub(crate) index: u64,
    pub(crate) name: String,
    pub(crate) email: String,
    pub(crate) okta_id: String,
    pub(crate) place: Place,
    /// The address they work from.
    pub(crate) ip: String,
}

impl Person {
    pub(crate) fn new(index: u64) -> Self {
        let first = FIRST[(index % 40) as usize];
        let last = LAST[((index / 40 + index % 40) % 50) as usize];
        let number = match index / 2_000 {
            0 => String::new(),
            n => n.to_string(),
        };
        let place = (index % PLACES.len() as u64) as usize;
        Person {
            index,
            name: format!("{first} {last}"),
            email: format!("{}.{}{number}@example.com", first.to_lowercase(), last.to_lowercase()),
            okta_id: format!("00u{:017}", 1_000_000 + index * 7_919),
            place: PLACES[place],
            ip: match index % 5 {
                // An office shares one address, the rest work from home.
                0 | 1 => format!("198.51.100.{}", 10 + place),
                2 => format!("203.0.113.{}", 1 + index / 5 % 250),
                _ => home_v6(index),
            },
        }
    }

    /// `ann.adler`.
    pub(crate) fn login(&self) -> &str {
        self.email.split('@').next().unwrap_or_default()
    }
}

fn home_v6(index: u64) -> String {
    let mixed = index.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    format!("2001:db8:{:x}:{:x}::{:x}", 1 + (mixed >> 49), 1 + ((mixed >> 30) & 0x7fff), 2 + index)
}
