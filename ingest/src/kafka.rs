//! Kafka: an input over the topics of a consumer group. Not what its records mean (see
//! [`Router`]), not the durable positions (the engine's).
//!
//! One thread polls one consumer and never blocks on anybody else for long: when the engine is
//! behind it stops reading, then pauses its partitions, and stays in its group. Positions are the
//! engine's; the offsets of the group follow what is durable and are read by nobody here.

use std::{
    fmt,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use crossbeam_channel::Sender;
use rdkafka::{
    ClientConfig,
    consumer::{BaseConsumer, Consumer},
};

pub use self::check::{Checked, CheckedTopic, check};
pub use self::settings::{KafkaSettings, Start};
pub use self::table::{CHANGE, TableRecord, TableSettings, TableTopic};
use self::{
    context::Context,
    place::Places,
    session::{End, Session},
};
use crate::{
    Router, SourceSpec,
    live::{Arrival, Input, InputControl, InputFailure, InputPhase, Positions},
};

mod check;
mod clock;
mod context;
mod headers;
mod place;
mod session;
mod settings;
mod table;
mod trouble;

/// Reads the partitions that its group gives it.
pub struct KafkaInput {
    name: Arc<str>,
    settings: KafkaSettings,
    config: ClientConfig,
    router: Router,
}

/// How long closing may take: leaving the group, committing offsets. After that the process ends
/// without it.
const CLOSING: Duration = Duration::from_secs(4);

/// Between one consumer that goes no further and the next.
const AGAIN: Duration = Duration::from_secs(1);

impl KafkaInput {
    /// An input that is not connected yet.
    ///
    /// # Errors
    /// Options that are missing, not for others to set, or that librdkafka refuses.
    pub fn new(
        name: &str,
        settings: KafkaSettings,
        router: Router,
    ) -> Result<KafkaInput, InputFailure> {
        let name: Arc<str> = name.into();
        let config = settings.client(&name)?;
        Ok(KafkaInput { name, settings, config, router })
    }

    fn failure(&self, primary: String, detail: Option<String>) -> InputFailure {
        InputFailure { input: self.name.clone(), primary, detail, hint: None }
    }
}

impl fmt::Debug for KafkaInput {
    // The options of the client may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaInput")
            .field("name", &self.name)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl Input for KafkaInput {
    fn name(&self) -> &Arc<str> {
        &self.name
    }

    fn remap(&mut self, sources: &[Arc<SourceSpec>]) -> Result<(), InputFailure> {
        let router = self.router.over(sources.to_vec());
        self.router = router.map_err(|error| error.failure(&self.name))?;
        Ok(())
    }

    fn run(
        &mut self,
        from: &Positions,
        out: &Sender<Arrival>,
        control: &InputControl,
    ) -> Result<(), InputFailure> {
        let mut places = Places::default();
        loop {
            let consumer: BaseConsumer<Context> =
                self.config.create_with_context(Context::default()).map_err(|e| {
                    self.failure("there is no Kafka client".to_owned(), Some(e.to_string()))
                })?;
            let topics: Vec<&str> = self.settings.topics.iter().map(String::as_str).collect();
            if let Err(error) = consumer.subscribe(&topics) {
                return Err(self.failure("cannot subscribe".to_owned(), Some(error.to_string())));
            }
            let mut session = Session::new(
                &self.name,
                &self.settings,
                &mut self.router,
                &consumer,
                from,
                &mut places,
                out,
                control,
            );
            let end = session.run();
            close(consumer);
            match end {
                Ok(End::Anew) => {
                    for (_, _, tracked) in places.iter_mut() {
                        tracked.assigned = false;
                        // What was not handed on went with the session.
                        tracked.rewind();
                    }
                    thread::sleep(AGAIN);
                }
                Ok(End::Stopped) => {
                    control.update(|status| {
                        status.phase = InputPhase::Stopped;
                        status.places.clear();
                    });
                    return Ok(());
                }
                Err(failure) => {
                    let text = failure.to_string();
                    control.update(|status| status.phase = InputPhase::Failed(text));
                    return Err(failure);
                }
            }
        }
    }
}

/// Closes a consumer, or leaves it be: without a broker its own close has no end.
fn close(consumer: BaseConsumer<Context>) {
    consumer.context().close();
    let (done, closed) = mpsc::sync_channel(1);
    let closing = thread::Builder::new().name("kafka-close".to_owned()).spawn(move || {
        drop(consumer);
        // Nobody waits any more: then there is nobody to tell.
        done.try_send(()).ok();
    });
    if closing.is_ok() && closed.recv_timeout(CLOSING).is_err() {
        tracing::warn!("a Kafka consumer did not close within {} s", CLOSING.as_secs());
    }
}
