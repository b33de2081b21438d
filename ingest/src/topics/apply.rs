//! Makes the broker's topics what the file says, without touching what is there.
//!
//! A missing topic is created; one that exists is compared and left alone, because more partitions change
//! where keys go and another retention may delete data: those are decisions for people. Applying a file
//! twice, or from two processes at once, is harmless.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::time::Duration;

use rdkafka::admin::{
    AdminClient, AdminOptions, NewTopic, OwnedResourceSpecifier, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::KafkaError;
use rdkafka::metadata::Metadata;
use rdkafka::producer::BaseProducer;
use rdkafka::types::RDKafkaErrorCode;
use serde::Serialize;

use super::error::{Error, Result};
use super::{Topic, Topics};
use crate::broker::{self, Heard};
use crate::kafka::{KafkaSettings, redact};

const ADMIN_TIMEOUT: Duration = Duration::from_secs(30);

/// What was found or done for one topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Applied {
    /// The topic.
    pub topic: String,
    /// How it ended.
    pub outcome: Outcome,
}

/// How applying one topic ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is new.
    Created,
    /// It was there, as the file has it.
    Existed,
    /// It was there and is not as the file has it; nothing was changed.
    Differs(Vec<Difference>),
}

/// One respect in which a topic is not what the file says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// `partitions`, `replication`, or Kafka's name of a topic option.
    pub what: String,
    /// What the file says.
    pub wanted: String,
    /// What the broker has; none when it does not tell.
    pub found: Option<String>,
}

/// A topic as the broker has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// Number of partitions.
    pub partitions: usize,
    /// Copies of its first partition.
    pub replication: usize,
}

/// Creates the topics that are missing and compares the others; the answer is in file order.
///
/// # Errors
/// When no broker answers, when replication is impossible (checked before anything is created), or when
/// the broker refuses a topic. Topics created before an error stay; applying again goes on from there.
pub async fn apply(kafka: &KafkaSettings, topics: &Topics) -> Result<Vec<Applied>> {
    let metadata = metadata(kafka).await?;
    let admin = Admin::connect(kafka)?;
    let brokers = metadata.brokers().len();
    if let Some(topic) =
        named(topics).find(|topic| usize::try_from(topic.replication).is_ok_and(|n| n > brokers))
    {
        return Err(Error::Replication { topic: topic.name.clone(), wanted: topic.replication, brokers });
    }
    let existing = existing(&metadata);
    let (old, new): (Vec<&Topic>, Vec<&Topic>) =
        named(topics).partition(|topic| existing.contains_key(&topic.name));
    let mut outcomes = admin.create(&new).await?;
    let configs = admin.configs(&old).await?;
    for topic in old {
        let mut differences = compare_layout(topic, &existing[&topic.name]);
        differences.extend(compare_config(topic, configs.get(&topic.name)));
        let outcome = if differences.is_empty() { Outcome::Existed } else { Outcome::Differs(differences) };
        outcomes.insert(topic.name.clone(), outcome);
    }
    let applied = named(topics).filter_map(|topic| {
        let outcome = outcomes.remove(&topic.name)?;
        Some(Applied { topic: topic.name.clone(), outcome })
    });
    Ok(applied.collect())
}

/// The topics that are one topic each; who matches a pattern is created by others.
fn named(topics: &Topics) -> impl Iterator<Item = &Topic> {
    topics.topics.iter().filter(|topic| topic.pattern.is_none())
}

/// The topics of the cluster by name, without Kafka's internal ones.
///
/// # Errors
/// When no broker answers.
pub async fn list(kafka: &KafkaSettings) -> Result<Vec<Listed>> {
    let metadata = metadata(kafka).await?;
    let listed = existing(&metadata).into_values().filter(|topic| !topic.name.starts_with("__"));
    Ok(listed.collect())
}

/// The brokers and topics of the cluster.
async fn metadata(kafka: &KafkaSettings) -> Result<Metadata> {
    let heard = Heard::default();
    let client: BaseProducer<Heard> =
        kafka.client_config().create_with_context(heard.clone()).map_err(options)?;
    let answer = tokio::task::spawn_blocking(move || broker::metadata(&client, &heard)).await;
    let answer = answer.unwrap_or_else(|ended| Err(ended.to_string()));
    answer.map_err(|reason| Error::Unreachable { brokers: kafka.brokers.clone(), reason })
}

fn options(error: KafkaError) -> Error {
    Error::Options { reason: redact(error).to_string() }
}

struct Admin {
    client: AdminClient<DefaultClientContext>,
    options: AdminOptions,
}

impl Admin {
    fn connect(kafka: &KafkaSettings) -> Result<Self> {
        let client = kafka.client_config().create().map_err(options)?;
        let options =
            AdminOptions::new().request_timeout(Some(ADMIN_TIMEOUT)).operation_timeout(Some(ADMIN_TIMEOUT));
        Ok(Self { client, options })
    }

    async fn create(&self, topics: &[&Topic]) -> Result<BTreeMap<String, Outcome>> {
        if topics.is_empty() {
            return Ok(BTreeMap::new());
        }
        let new: Vec<NewTopic<'_>> = topics.iter().map(|topic| new_topic(topic)).collect();
        let results = self
            .client
            .create_topics(&new, &self.options)
            .await
            .map_err(|error| Error::Interrupted { action: "create topics", reason: error.to_string() })?;
        results
            .into_iter()
            .map(|result| match result {
                Ok(topic) => Ok((topic, Outcome::Created)),
                // Somebody else was quicker; the next application compares it.
                Err((topic, RDKafkaErrorCode::TopicAlreadyExists)) => Ok((topic, Outcome::Existed)),
                Err((topic, code)) => {
                    Err(Error::Refused { topic, reason: code.to_string(), remedy: remedy(code) })
                }
            })
            .collect()
    }

    /// The options of existing topics; a topic whose options the broker does not tell is left out.
    async fn configs(&self, topics: &[&Topic]) -> Result<HashMap<String, HashMap<String, String>>> {
        let topics: Vec<&Topic> = topics.iter().copied().filter(|topic| !topic.config.is_empty()).collect();
        if topics.is_empty() {
            return Ok(HashMap::new());
        }
        let resources: Vec<ResourceSpecifier<'_>> =
            topics.iter().map(|topic| ResourceSpecifier::Topic(&topic.name)).collect();
        let answers = match self.client.describe_configs(&resources, &self.options).await {
            Ok(answers) => answers,
            Err(error) => {
                tracing::warn!(%error, "the broker does not tell the options of its topics");
                return Ok(HashMap::new());
            }
        };
        let read = answers.into_iter().flatten().filter_map(|answer| {
            let OwnedResourceSpecifier::Topic(topic) = answer.specifier else { return None };
            let entries = answer.entries.into_iter().filter_map(|entry| Some((entry.name, entry.value?)));
            Some((topic, entries.collect()))
        });
        Ok(read.collect())
    }
}

fn new_topic(topic: &Topic) -> NewTopic<'_> {
    let new = NewTopic::new(&topic.name, topic.partitions, TopicReplication::Fixed(topic.replication));
    topic.config.iter().fold(new, |new, (key, value)| new.set(key, value))
}

fn existing(metadata: &Metadata) -> BTreeMap<String, Listed> {
    let topics = metadata.topics().iter().filter(|topic| topic.error().is_none());
    let listed = topics.map(|topic| Listed {
        name: topic.name().to_owned(),
        partitions: topic.partitions().len(),
        replication: topic.partitions().first().map_or(0, |partition| partition.replicas().len()),
    });
    listed.map(|topic| (topic.name.clone(), topic)).collect()
}

pub(super) fn compare_layout(topic: &Topic, found: &Listed) -> Vec<Difference> {
    let pairs = [
        ("partitions", topic.partitions, found.partitions),
        ("replication", topic.replication, found.replication),
    ];
    let unequal = pairs.into_iter().filter(|(_, wanted, found)| usize::try_from(*wanted) != Ok(*found));
    let difference = |(what, wanted, found): (&str, i32, usize)| Difference {
        what: what.to_owned(),
        wanted: wanted.to_string(),
        found: Some(found.to_string()),
    };
    unequal.map(difference).collect()
}

pub(super) fn compare_config(topic: &Topic, found: Option<&HashMap<String, String>>) -> Vec<Difference> {
    let drift = topic.config.iter().filter_map(|(key, wanted)| {
        let found = found.and_then(|found| found.get(key));
        let differs = found != Some(wanted);
        differs.then(|| Difference { what: key.clone(), wanted: wanted.clone(), found: found.cloned() })
    });
    drift.collect()
}

fn remedy(code: RDKafkaErrorCode) -> &'static str {
    match code {
        RDKafkaErrorCode::InvalidReplicationFactor => "set a `replication` that the cluster has brokers for",
        RDKafkaErrorCode::InvalidPartitions => "set another number of `partitions`",
        RDKafkaErrorCode::InvalidConfig => "correct the options under `config` in the topics file",
        RDKafkaErrorCode::PolicyViolation => "the cluster has a rule against it: ask who runs it",
        RDKafkaErrorCode::TopicAuthorizationFailed | RDKafkaErrorCode::ClusterAuthorizationFailed => {
            "give this user the right to create topics"
        }
        _ => "apply it again; the broker's log says more",
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.found {
            Some(found) => write!(f, "{} is {found}, the file says {}", self.what, self.wanted),
            None => write!(f, "the broker does not tell {}, the file says {}", self.what, self.wanted),
        }
    }
}
