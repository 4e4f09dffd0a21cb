//! Where an input reads from, and that neither a rebalance nor a restart loses or repeats.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant, UNIX_EPOCH},
};

use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    admin::NewPartitions,
    consumer::{BaseConsumer, Consumer},
};
use sluice_ingest::{
    kafka::Start,
    live::{Place, Positions},
};

use crate::support::{Admin, Running, Sender, block_on, broker, options_of_admin, settings};

fn place(topic: &str, number: i32) -> Place {
    Place { input: "in".into(), part: format!("{topic}/{number}").into() }
}

#[test]
fn latest_reads_what_comes_after_it() {
    let Some(bootstrap) = broker() else { return };
    let topic = Admin::new(&bootstrap).topic("latest", 2, &[]);
    let sender = Sender::new(&bootstrap, &[]);
    sender.numbers(&topic, 2, 0..10);
    let mut told = settings(&bootstrap, &topic);
    told.start = Start::Latest;
    let mut input = Running::start(told.clone(), Positions::new());
    // Each partition is announced with its position before any record of it.
    input.until("both partitions", 20, |r| r.next.len() == 2);
    assert_eq!(input.next.values().copied().collect::<Vec<_>>(), [5, 5]);
    let from = input.next.clone();
    input.stop().unwrap();
    // So what came meanwhile is not passed over.
    sender.numbers(&topic, 2, 10..20);
    let mut input = Running::start(told, from);
    input.records(10, 20);
    input.exactly(10..20);
    input.stop().unwrap();
}

#[test]
fn a_time_is_looked_up() {
    let Some(bootstrap) = broker() else { return };
    let topic = Admin::new(&bootstrap).topic("time", 1, &[]);
    let sender = Sender::new(&bootstrap, &[]);
    sender.numbers(&topic, 1, 0..10);
    thread::sleep(Duration::from_millis(50));
    let time = i64::try_from(UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap();
    sender.numbers(&topic, 1, 10..20);
    let mut told = settings(&bootstrap, &topic);
    told.start = Start::Timestamp(time);
    let mut input = Running::start(told, Positions::new());
    input.records(10, 20);
    input.exactly(10..20);
    input.stop().unwrap();
}

#[test]
fn reading_goes_on_from_its_positions() {
    let Some(bootstrap) = broker() else { return };
    let topic = Admin::new(&bootstrap).topic("resume", 3, &[]);
    let sender = Sender::new(&bootstrap, &[]);
    sender.numbers(&topic, 3, 0..3_000);
    let told = settings(&bootstrap, &topic);
    let mut input = Running::start(told.clone(), Positions::new());
    input.records(3_000, 20);
    let from = input.next.clone();
    // Offsets of the group say what is durable, not what was read.
    let durable: Positions = from.keys().map(|place| (place.clone(), 7)).collect();
    input.control.set_durable(durable);
    input.stop().unwrap();
    let watcher: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &bootstrap)
        .set("group.id", &told.group)
        .create()
        .unwrap();
    let mut asked = TopicPartitionList::new();
    asked.add_partition_range(&topic, 0, 2);
    let committed = watcher.committed_offsets(asked, Duration::from_secs(10)).unwrap();
    for element in committed.elements() {
        assert_eq!(element.offset(), Offset::Offset(7));
    }
    sender.numbers(&topic, 3, 3_000..3_300);
    let mut input = Running::start(told, from);
    input.records(300, 20);
    input.exactly(3_000..3_300);
    input.stop().unwrap();
}

#[test]
fn a_later_partition_is_read_from_its_beginning() {
    let Some(bootstrap) = broker() else { return };
    let admin = Admin::new(&bootstrap);
    let topic = admin.topic("more", 1, &[]);
    let mut told = settings(&bootstrap, &topic);
    told.start = Start::Latest;
    told.librdkafka.insert("topic.metadata.refresh.interval.ms".to_owned(), "1000".to_owned());
    let mut input = Running::start(told, Positions::new());
    input.until("its partition", 20, |r| r.next.len() == 1);
    let more = NewPartitions::new(&topic, 3);
    for result in block_on(admin.client().create_partitions([&more], &options_of_admin())).unwrap()
    {
        result.unwrap();
    }
    // Before the input knows of them.
    let sender = Sender::new(&bootstrap, &[("topic.metadata.refresh.interval.ms", "500")]);
    sender.numbers(&topic, 3, 0..30);
    input.records(30, 30);
    input.exactly(0..30);
    input.stop().unwrap();
}

fn delete_before(admin: &Admin, topic: &str, offset: i64) {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, 0, Offset::Offset(offset)).unwrap();
    block_on(admin.client().delete_records(&list, &options_of_admin())).unwrap();
}

#[test]
fn records_that_are_gone_are_told() {
    let Some(bootstrap) = broker() else { return };
    let admin = Admin::new(&bootstrap);
    let topic = admin.topic("gap", 1, &[]);
    let sender = Sender::new(&bootstrap, &[]);
    sender.numbers(&topic, 1, 0..100);
    delete_before(&admin, &topic, 50);
    let place = place(&topic, 0);
    let mut input =
        Running::start(settings(&bootstrap, &topic), Positions::from([(place.clone(), 10)]));
    input.records(50, 20);
    input.exactly(50..100);
    assert_eq!(input.control.status().gaps, [(place.clone(), 10, 50)]);
    // The same while it runs: it is paused, and retention goes past its place.
    input.control.pause(true);
    input.until("paused", 10, |r| {
        r.control.status().phase == sluice_ingest::live::InputPhase::Paused
    });
    thread::sleep(Duration::from_millis(300));
    sender.numbers(&topic, 1, 100..200);
    delete_before(&admin, &topic, 150);
    input.control.pause(false);
    input.until("the last one", 60, |r| r.next.values().any(|n| *n == 200));
    let status = input.control.status();
    let (gap_from, gap_to) = (status.gaps[1].1, status.gaps[1].2);
    assert_eq!((status.gaps.len(), gap_to), (2, 150), "{status:?}");
    assert_eq!(input.numbers().len() as u64, 50 + (gap_from - 100) + 50);
    input.stop().unwrap();
}

#[test]
fn a_topic_made_anew_is_not_taken_for_the_old_one() {
    let Some(bootstrap) = broker() else { return };
    let topic = Admin::new(&bootstrap).topic("anew", 1, &[]);
    Sender::new(&bootstrap, &[]).numbers(&topic, 1, 0..10);
    let from = Positions::from([(place(&topic, 0), 500)]);
    let mut input = Running::start(settings(&bootstrap, &topic), from);
    let failure = input.end(30).unwrap_err();
    assert!(failure.primary.contains("ends at 10, and was read up to 500"), "{failure:?}");
    assert!(failure.hint.is_some());
    assert!(input.got.is_empty());
}

#[test]
fn a_silent_partition_holds_nobody_back_even_if_it_never_had_a_record() {
    let Some(bootstrap) = broker() else { return };
    let topic = Admin::new(&bootstrap).topic("idle", 2, &[]);
    let sender = Sender::new(&bootstrap, &[]);
    sender.put(&topic, 0, b"{\"n\":0}");
    sender.flush();
    let mut input = Running::with(settings(&bootstrap, &topic), Positions::new(), 16, 2_000);
    input.until("both idle", 20, |r| r.idle.len() == 2);
    // Once, until something comes.
    let end = Instant::now() + Duration::from_secs(4);
    while Instant::now() < end {
        input.take(Duration::from_millis(100));
    }
    assert_eq!(input.idle.len(), 2);
    sender.put(&topic, 1, b"{\"n\":1}");
    sender.flush();
    input.until("idle again", 20, |r| r.idle.len() == 3);
    assert_eq!(input.idle[2], place(&topic, 1));
    input.stop().unwrap();
}

#[test]
fn a_thief_in_the_group_makes_nothing_lost_or_repeated() {
    stolen_from("cooperative-sticky", Duration::from_secs(20));
}

#[test]
fn nor_where_every_rebalance_takes_all_partitions() {
    stolen_from("range", Duration::from_secs(10));
}

/// Another consumer joins the group every 2 s while records come.
fn stolen_from(strategy: &'static str, time: Duration) {
    let Some(bootstrap) = broker() else { return };
    let topic = Admin::new(&bootstrap).topic("thief", 4, &[]);
    let mut told = settings(&bootstrap, &topic);
    // So that a rebalance is noticed while the thief is there.
    told.librdkafka.insert("heartbeat.interval.ms".to_owned(), "200".to_owned());
    told.librdkafka.insert("partition.assignment.strategy".to_owned(), strategy.to_owned());
    let done = Arc::new(AtomicBool::new(false));
    let thief = {
        let (bootstrap, topic, group, done) =
            (bootstrap.clone(), topic.clone(), told.group.clone(), done.clone());
        thread::spawn(move || {
            let mut stolen = 0;
            while !done.load(Ordering::Relaxed) {
                let consumer: BaseConsumer = ClientConfig::new()
                    .set("bootstrap.servers", &bootstrap)
                    .set("group.id", &group)
                    .set("partition.assignment.strategy", strategy)
                    .set("enable.auto.commit", "false")
                    .set("heartbeat.interval.ms", "200")
                    .create()
                    .unwrap();
                consumer.subscribe(&[&topic]).unwrap();
                let end = Instant::now() + Duration::from_secs(2);
                while Instant::now() < end {
                    consumer.poll(Duration::from_millis(50));
                }
                stolen += consumer.assignment().unwrap().count();
            }
            stolen
        })
    };
    let mut input = Running::start(told, Positions::new());
    let sender = Sender::new(&bootstrap, &[]);
    let end = Instant::now() + time;
    let mut sent = 0;
    while Instant::now() < end {
        sender.numbers(&topic, 4, sent..sent + 100);
        sent += 100;
        input.take(Duration::from_millis(50));
    }
    done.store(true, Ordering::Relaxed);
    let stolen = thief.join().unwrap();
    input.records(usize::try_from(sent).unwrap(), 60);
    input.exactly(0..sent);
    let rebalances = input.control.status().rebalances;
    assert!(
        stolen > 4 && rebalances["revoke"] > 0 && rebalances["assign"] > 4,
        "{stolen} stolen, {rebalances:?}"
    );
    input.stop().unwrap();
}
