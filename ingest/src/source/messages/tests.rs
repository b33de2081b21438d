//! Messages against the client library's own mock cluster.

use std::time::Instant;

use rdkafka::Offset;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};

use super::*;
use crate::kafka::KafkaSettings;
use crate::source::client::list;

const TOPIC: &str = "many";
const MESSAGES: i64 = 500;

struct Cluster(MockCluster<'static, DefaultProducerContext>);

impl Cluster {
    fn new() -> Self {
        let mock = MockCluster::new(1).unwrap();
        mock.create_topic(TOPIC, 2, 1).unwrap();
        Self(mock)
    }

    fn producer(&self) -> ThreadedProducer<DefaultProducerContext> {
        KafkaSettings::new(self.0.bootstrap_servers()).client_config().create().unwrap()
    }

    /// Messages that tell their number, in both partitions.
    fn filled() -> Self {
        let cluster = Self::new();
        let producer = cluster.producer();
        for n in 0..MESSAGES {
            for partition in 0..2 {
                let payload = n.to_string();
                let record = BaseRecord::<str, str>::to(TOPIC).payload(&payload).partition(partition);
                producer.send(record).map_err(|(error, _)| error).unwrap();
            }
        }
        producer.flush(Duration::from_secs(10)).unwrap();
        cluster
    }

    fn reader(&self) -> (Arc<BaseConsumer<Context>>, Messages) {
        let config = KafkaSettings::new(self.0.bootstrap_servers()).consumer_config("group", 1024);
        let context = Context::new(Arc::default());
        let consumer = Arc::new(BaseConsumer::from_config_and_context(&config, context).unwrap());
        let messages = Messages::new(Arc::clone(&consumer)).unwrap();
        (consumer, messages)
    }
}

/// Reads the partitions from these offsets.
fn assign(consumer: &BaseConsumer<Context>, messages: &Messages, starts: &[i64]) {
    let starts = (0..).zip(starts);
    for (partition, _) in starts.clone() {
        messages.forward(TOPIC, partition);
    }
    let starts = starts.map(|(partition, start)| (TOPIC, partition, Offset::Offset(*start)));
    consumer.assign(&list(starts).unwrap()).unwrap();
}

/// Takes until `enough` says so, forwarding again as the polling thread does.
fn take_until(messages: &Messages, mut enough: impl FnMut(&[Message]) -> bool) {
    let began = Instant::now();
    loop {
        let taken = messages.take(64, Duration::from_millis(20));
        if taken.runs().any(&mut enough) {
            return;
        }
        if taken.is_empty() {
            (0..2).for_each(|partition| messages.forward(TOPIC, partition));
        }
        assert!(began.elapsed() < Duration::from_secs(30), "a partition is silent");
    }
}

/// However fast assignments follow each other, each reads on from its own start, in order, without a gap.
#[test]
fn partitions_that_are_assigned_again_and_again_are_read_from_where_each_assignment_says() {
    let cluster = Cluster::filled();
    let (consumer, messages) = cluster.reader();
    for round in 0..40 {
        let starts = [round, round * 7];
        assign(&consumer, &messages, &starts);
        let (mut next, wanted) = (starts, 20 + round);
        take_until(&messages, |run| {
            let (_, partition) = run[0].source();
            for message in run {
                assert!(message.fault().is_none());
                assert_eq!(message.offset(), next[partition as usize], "round {round}");
                assert_eq!(message.payload().unwrap(), message.offset().to_string().as_bytes());
                next[partition as usize] += 1;
            }
            (0..2).all(|partition| next[partition] >= starts[partition] + wanted)
        });
        if round % 2 == 0 {
            consumer.unassign().unwrap();
        }
        assert!(consumer.poll(Duration::ZERO).is_none(), "a message came to the consumer's own queue");
    }
}

#[test]
fn keys_headers_tombstones_and_times_come_as_they_were_sent() {
    let cluster = Cluster::new();
    let value = |value| Header { key: "kind", value };
    let headers = OwnedHeaders::new().insert(value(Some("old"))).insert(value(Some("new")));
    let headers = headers.insert(Header { key: "null", value: None::<&str> });
    let record = BaseRecord::<str, str>::to(TOPIC).partition(0).key("a key").timestamp(1_700_000_000_123);
    let producer = cluster.producer();
    producer.send(record.headers(headers)).map_err(|(error, _)| error).unwrap();
    let record = BaseRecord::<str, str>::to(TOPIC).partition(0).payload("");
    producer.send(record).map_err(|(error, _)| error).unwrap();
    producer.flush(Duration::from_secs(10)).unwrap();

    let (consumer, messages) = cluster.reader();
    assign(&consumer, &messages, &[0, 0]);
    let mut read = 0;
    take_until(&messages, |run| {
        for message in run {
            assert_eq!((message.topic().as_str(), message.source().1), (TOPIC, 0));
            if message.offset() == 0 {
                assert_eq!((message.key(), message.payload()), (Some(&b"a key"[..]), None));
                assert_eq!(message.timestamp(), Some(1_700_000_000_123));
                assert_eq!(message.header(c"kind"), Some(&b"new"[..]));
                assert_eq!((message.header(c"null"), message.header(c"other")), (None, None));
            } else {
                assert_eq!((message.key(), message.payload()), (None, Some(&b""[..])));
                assert_eq!(message.header(c"kind"), None);
            }
            read += 1;
        }
        read == 2
    });
}

/// An offset that Kafka does not have is said of its partition; the other one is read.
#[test]
fn a_fault_of_one_partition_stands_alone() {
    let cluster = Cluster::filled();
    let (consumer, messages) = cluster.reader();
    assign(&consumer, &messages, &[0, MESSAGES + 1000]);
    let (mut read, mut faults) = (0, 0);
    take_until(&messages, |run| {
        if let Some(fault) = run[0].fault() {
            assert_eq!((run.len(), run[0].source().1), (1, 1), "{fault}");
            faults += 1;
        } else {
            assert!(run.iter().all(|message| message.source().1 == 0 && message.fault().is_none()));
            read += run.len();
        }
        read == MESSAGES as usize && faults > 0
    });
}
