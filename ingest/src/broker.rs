//! First contact with a Kafka cluster: does anybody answer, and if not, why.
//!
//! librdkafka tells a failed call only that it failed; the cause ("connection refused", "unknown host",
//! "authentication failed") goes to its queue of events, which must be polled. A producer polls, the admin
//! client of the `rdkafka` crate does not: so the first question is asked by a producer, and [`Heard`] keeps
//! what it complains about.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::Metadata;
use rdkafka::producer::{BaseProducer, DeliveryResult, Producer, ProducerContext};

/// How long a cluster may take to answer the first time.
const CONTACT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long complaints are collected after it did not.
const COMPLAINTS_TIMEOUT: Duration = Duration::from_millis(50);

/// Client context that keeps the last complaint of the library; clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heard {
    last: Arc<Mutex<Option<String>>>,
}

impl Heard {
    /// The last complaint, else the error itself.
    pub(crate) fn reason(&self, error: &KafkaError) -> String {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.clone().unwrap_or_else(|| error.to_string())
    }

    fn keep(&self, text: &str) {
        // "[thrd:...]: host:port/bootstrap: Connect to ... failed": the thread's name says nothing to a user.
        let text =
            text.split_once("]: ").filter(|_| text.starts_with("[thrd:")).map_or(text, |(_, rest)| rest);
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(text.to_owned());
    }
}

impl ClientContext for Heard {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        if level as i32 <= RDKafkaLogLevel::Error as i32 {
            self.keep(message);
        }
        tracing::debug!(target: "librdkafka", facility, "{message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // That all are down follows from what was said of each.
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::AllBrokersDown) {
            self.keep(reason);
        }
        tracing::debug!(target: "librdkafka", %error, "{reason}");
    }
}

impl ProducerContext for Heard {
    type DeliveryOpaque = ();

    fn delivery(&self, _: &DeliveryResult<'_>, (): ()) {}
}

/// Asks the cluster for its brokers and all topics; blocks up to [`CONTACT_TIMEOUT`].
///
/// # Errors
/// The reason why nobody answered, for people.
pub(crate) fn metadata<C: ProducerContext>(
    client: &BaseProducer<C>,
    heard: &Heard,
) -> Result<Metadata, String> {
    client.client().fetch_metadata(None, CONTACT_TIMEOUT).map_err(|error| {
        client.poll(COMPLAINTS_TIMEOUT);
        heard.reason(&error)
    })
}
