//! The form that values of some columns always have, whatever a source sends. The engine puts them
//! into it; a rule or a test case that names another spelling never meets a row.

use std::borrow::Cow;

use sluice_event::{Column, canonical_ip};

/// Columns whose list in the schema is OCSF's, while mappings keep the word of the source.
const OPEN: [&str; 3] = ["user_type", "device_type", "k8s_verb"];

/// Every value a text column can have; empty if it can have others.
pub fn closed_values(column: &Column) -> &[&'static str] {
    if OPEN.contains(&column.name) { &[] } else { &column.values }
}

/// The form of the values of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// An address as RFC 5952 writes it, without port and zone.
    Address,
    /// A host name in lower case, without a final dot.
    Host,
    /// Lower case.
    LowerCase,
}

const ADDRESSES: [&str; 4] = ["src_ip", "dst_ip", "src_ips", "ips"];
const HOSTS: [&str; 8] = [
    "src_hostname",
    "dst_hostname",
    "device_hostname",
    "query",
    "url_host",
    "tls_sni",
    "hosts",
    "domains",
];
const LOWER: [&str; 6] = [
    "process_hash_sha256",
    "file_hash_sha256",
    "hashes",
    "user_entity",
    "actor_user_entity",
    "device_entity",
];

impl Form {
    /// The form of a column of a typed table, or of the elements of a list column.
    pub fn of(column: &str) -> Option<Form> {
        if ADDRESSES.contains(&column) {
            Some(Form::Address)
        } else if HOSTS.contains(&column) {
            Some(Form::Host)
        } else if LOWER.contains(&column) {
            Some(Form::LowerCase)
        } else {
            None
        }
    }

    /// A value in this form. What is no address is kept: some sources name a service instead.
    pub fn canonical(self, value: &str) -> Cow<'_, str> {
        match self {
            Form::Address => canonical_ip(value).unwrap_or(Cow::Borrowed(value)),
            Form::Host => match value.strip_suffix('.') {
                Some(rest) if !rest.is_empty() => rest.to_lowercase().into(),
                _ => value.to_lowercase().into(),
            },
            Form::LowerCase => value.to_lowercase().into(),
        }
    }

    /// Whether values in this form have no capital letters.
    pub fn is_lower(self) -> bool {
        matches!(self, Form::Host | Form::LowerCase)
    }

    /// The form in words.
    pub fn describe(self) -> &'static str {
        match self {
            Form::Address => "an address in canonical form (RFC 5952, no port)",
            Form::Host => "a host name in lower case, without a final dot",
            Form::LowerCase => "lower case",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_take_the_form_of_their_column() {
        for (column, value, canonical) in [
            ("src_ip", "FE80:0::1", "fe80::1"),
            ("src_ip", "10.0.0.1:22", "10.0.0.1"),
            ("src_ip", "cloudtrail.amazonaws.com", "cloudtrail.amazonaws.com"),
            ("device_hostname", "WEB-1.Example.com.", "web-1.example.com"),
            ("user_entity", r"CORP\Ann", r"corp\ann"),
        ] {
            assert_eq!(Form::of(column).unwrap().canonical(value), canonical, "{column}");
        }
        assert_eq!(Form::of("user_name"), None);
    }

    #[test]
    fn every_column_with_a_form_is_in_the_schema() {
        let schema = sluice_event::Schema::builtin();
        for column in ADDRESSES.iter().chain(&HOSTS).chain(&LOWER) {
            assert!(schema.tables().any(|t| t.index(column).is_some()), "{column}");
        }
    }
}
