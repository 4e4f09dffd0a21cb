//! What a record may be: every codec, keys, headers, nulls, sizes, timestamps, transactions.

use std::time::Duration;

use rdkafka::{
    message::{Header, OwnedHeaders},
    producer::{BaseRecord, Producer},
};
use sluice_ingest::live::Positions;

use crate::support::{Admin, Running, Sender, broker, settings, unique};

#[test]
fn every_codec_is_read() {
    let Some(bootstrap) = broker() else { return };
    let topic = Admin::new(&bootstrap).topic("codecs", 2, &[]);
    for (i, codec) in ["none", "gzip", "snappy", "lz4", "zstd"].into_iter().enumerate() {
        let sender = Sender::new(&bootstrap, &[("compression.type", codec)]);
        let from = i as u64 * 1_000;
        sender.numbers(&topic, 2, from..from + 1_000);
    }
    let mut input = Running::start(settings(&bootstrap, &topic), Positions::new());
    input.records(5_000, 30);
    input.exactly(0..5_000);
    assert_eq!(input.next.values().sum::<u64>(), 5_000);
    input.stop().unwrap();
}
