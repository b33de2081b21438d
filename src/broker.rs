//! The broker inside the process, for `sluice demo`: the Kafka protocol over loopback, records in memory.

#[cfg(feature = "embedded-broker")]
mod embedded;

#[cfg(feature = "embedded-broker")]
pub(crate) use embedded::Broker;

/// Stands in when the program was built without the broker: it says so instead of starting.
#[cfg(not(feature = "embedded-broker"))]
#[derive(Debug)]
pub(crate) struct Broker;

#[cfg(not(feature = "embedded-broker"))]
impl Broker {
    pub(crate) async fn start() -> Result<Self, crate::failure::Failure> {
        Err(crate::failure::Failure::new("this build of sluice has no embedded broker").hint(
            "build it with the cargo feature `embedded-broker`, or use `sluice run --brokers HOST:PORT`",
        ))
    }

    pub(crate) fn address(&self) -> String {
        String::new()
    }
}
