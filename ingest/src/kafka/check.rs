//! Trying a configuration out: can the cluster be reached, do the topics exist, what is in them.
//! Joins no group and commits nothing.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use rdkafka::{
    Message as _, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, RDKafkaErrorCode},
    metadata::Metadata,
};
use regex::Regex;

use super::{
    clock::now,
    context::Context,
    place::{Places, Tracked, part},
    session::{add, signed, take, unsigned},
    settings::KafkaSettings,
    trouble::Troubles,
};
use crate::{
    Message,
    live::{InputFailure, Place},
};

/// What trying a configuration out has shown.
#[derive(Clone, Debug, Default)]
pub struct Checked {
    /// Everything that is wrong.
    pub problems: Vec<InputFailure>,
    /// The topics that are there.
    pub topics: Vec<CheckedTopic>,
}

/// A topic that is there.
#[derive(Clone, Debug)]
pub struct CheckedTopic {
    /// Its name.
    pub topic: String,
    /// How many partitions it has.
    pub partitions: usize,
    /// Its records, all partitions together.
    pub records: u64,
    /// Some of its latest records, up to 10.
    pub samples: Vec<Message>,
}

/// Samples of a topic.
const SAMPLES: usize = 10;
/// One question to the cluster.
const ASK: Duration = Duration::from_secs(5);
/// Reading samples of all topics.
const READ: Duration = Duration::from_secs(5);
/// For a group to have a coordinator.
const COORDINATOR: Duration = Duration::from_secs(10);
/// What brokers answer until it has.
const UNSETTLED: [RDKafkaErrorCode; 3] = [
    RDKafkaErrorCode::NotCoordinator,
    RDKafkaErrorCode::CoordinatorNotAvailable,
    RDKafkaErrorCode::CoordinatorLoadInProgress,
];

/// After a question failed: errors that say why.
const TELL: Duration = Duration::from_millis(200);

/// Tries the settings of the input `name` out, mostly in a few seconds. Each question to the
/// cluster has a deadline, all of them together have none.
pub fn check(name: &str, settings: &KafkaSettings) -> Checked {
    let mut checked = Checked::default();
    let name: Arc<str> = name.into();
    let made = settings.client(&name).and_then(|config| {
        config.create_with_context(Context::default()).map_err(|error| InputFailure {
            input: name.clone(),
            primary: "there is no Kafka client".to_owned(),
            detail: Some(error.to_string()),
            hint: None,
        })
    });
    match made {
        Err(failure) => checked.problems.push(failure),
        Ok(consumer) => {
            let check = Check { name: &name, settings, consumer: &consumer };
            check.topics(&mut checked);
            super::close(consumer);
        }
    }
    checked
}

struct Check<'a> {
    name: &'a Arc<str>,
    settings: &'a KafkaSettings,
    consumer: &'a BaseConsumer<Context>,
}

impl Check<'_> {
    fn topics(&self, checked: &mut Checked) {
        let (patterns, names): (Vec<&String>, Vec<&String>) =
            self.settings.topics.iter().partition(|t| t.starts_with('^'));
        let all = match self.consumer.fetch_metadata(None, ASK) {
            Ok(metadata) => metadata,
            Err(error) => return checked.problems.push(self.problem(&error)),
        };
        let mut found: BTreeMap<String, usize> = BTreeMap::new();
        for name in names {
            match self.consumer.fetch_metadata(Some(name), ASK) {
                Err(error) => checked.problems.push(self.problem(&error)),
                Ok(metadata) => match partitions(&metadata, name) {
                    Ok(count) => {
                        found.insert(name.clone(), count);
                    }
                    Err(code) => checked.problems.push(self.topic_problem(code, name)),
                },
            }
        }
        for pattern in patterns {
            match Regex::new(pattern) {
                Err(error) => checked.problems.push(self.failure(
                    format!("the topic pattern `{pattern}` is no regular expression"),
                    Some(error.to_string()),
                )),
                Ok(regex) => {
                    let matches = all.topics().iter().filter(|t| regex.is_match(t.name()));
                    let matches: Vec<_> = matches.collect();
                    found.extend(
                        matches.iter().map(|t| (t.name().to_owned(), t.partitions().len())),
                    );
                    if matches.is_empty() {
                        checked.problems.push(self.failure(
                            format!("no topic matches `{pattern}`"),
                            Some("one that is created later will be read".to_owned()),
                        ));
                    }
                }
            }
        }
        self.group(&found, checked);
        self.read(found, checked);
    }

    /// Whether the group may be used. A broker that has just started may not know yet who coordinates
    /// it: it is asked again.
    fn group(&self, found: &BTreeMap<String, usize>, checked: &mut Checked) {
        let Some(topic) = found.keys().next() else { return };
        let mut asked = TopicPartitionList::new();
        asked.add_partition(topic, 0);
        let until = now() + COORDINATOR;
        loop {
            let Err(error) = self.consumer.committed_offsets(asked.clone(), ASK) else { return };
            let settling = error.rdkafka_error_code().is_some_and(|code| UNSETTLED.contains(&code));
            if !settling || now() >= until {
                return checked.problems.push(self.problem(&error));
            }
            std::thread::sleep(TELL);
        }
    }

    fn read(&self, found: BTreeMap<String, usize>, checked: &mut Checked) {
        let mut list = TopicPartitionList::new();
        let mut places = Places::default();
        // Records that will come, by topic.
        let mut expected: BTreeMap<String, usize> = BTreeMap::new();
        for (topic, count) in found {
            let mut records = 0;
            for number in 0..i32::try_from(count).unwrap_or(i32::MAX) {
                match self.consumer.fetch_watermarks(&topic, number, ASK) {
                    Err(error) => {
                        checked.problems.push(self.problem(&error));
                        break;
                    }
                    Ok((low, high)) => {
                        records += unsigned(high - low);
                        let start = low.max(high - signed(SAMPLES as u64));
                        let next = unsigned(start);
                        if start < high && add(&mut list, &topic, number, next).is_ok() {
                            let part = part(&topic, number).into();
                            let place = Place { input: self.name.clone(), part };
                            let mut tracked = Tracked::new(place, next, now());
                            tracked.assigned = true;
                            places.insert(&topic, number, tracked);
                            *expected.entry(topic.clone()).or_insert(0) +=
                                usize::try_from(high - start).unwrap_or(0);
                        }
                    }
                }
            }
            let samples = Vec::new();
            checked.topics.push(CheckedTopic { topic, partitions: count, records, samples });
        }
        if list.count() == 0 {
            return;
        }
        if let Err(error) = self.consumer.assign(&list) {
            return checked.problems.push(self.problem(&error));
        }
        for count in expected.values_mut() {
            *count = SAMPLES.min(*count);
        }
        let until = now() + READ;
        let mut name: Arc<str> = "".into();
        while !expected.is_empty() && now() < until {
            let Some(Ok(message)) = self.consumer.poll(Duration::from_millis(100)) else {
                continue;
            };
            take(self.name, &mut name, &mut places, &message);
            if let Some(left) = expected.get_mut(message.topic()) {
                *left = left.saturating_sub(1);
                if *left == 0 {
                    expected.remove(message.topic());
                }
            }
        }
        for (topic, _, tracked) in places.iter_mut() {
            if let Some(found) = checked.topics.iter_mut().find(|t| *t.topic == **topic) {
                let room = SAMPLES - found.samples.len().min(SAMPLES);
                found.samples.extend(std::mem::take(&mut tracked.batch).into_iter().take(room));
            }
        }
    }

    fn topic_problem(&self, code: RDKafkaErrorCode, topic: &str) -> InputFailure {
        let mut troubles = Troubles::default();
        troubles.add(code, &format!("topic {topic}"), &self.settings.group, |_| false);
        self.failure(troubles.text().unwrap_or_else(|| code.to_string()), None)
    }

    /// What the cluster said meanwhile says more than the failure of the question.
    fn problem(&self, error: &KafkaError) -> InputFailure {
        let mut troubles = Troubles::default();
        let until = now() + TELL;
        while now() < until {
            // Nothing is assigned: it gives errors only, and those to the context.
            self.consumer.poll(Duration::from_millis(20));
        }
        for (code, reason) in self.consumer.context().take().errors {
            troubles.add(code, &reason, &self.settings.group, |_| false);
        }
        if let Some(code) = error.rdkafka_error_code()
            && troubles.text().is_none()
        {
            troubles.add(code, &error.to_string(), &self.settings.group, |_| false);
        }
        self.failure(troubles.text().unwrap_or_else(|| error.to_string()), None)
    }

    fn failure(&self, primary: String, detail: Option<String>) -> InputFailure {
        InputFailure { input: self.name.clone(), primary, detail, hint: None }
    }
}

/// How many partitions a topic has.
fn partitions(metadata: &Metadata, topic: &str) -> Result<usize, RDKafkaErrorCode> {
    let unknown = RDKafkaErrorCode::UnknownTopicOrPartition;
    let found = metadata.topics().iter().find(|t| t.name() == topic).ok_or(unknown)?;
    match found.error() {
        Some(error) => Err(error.into()),
        None => Ok(found.partitions().len()),
    }
}
