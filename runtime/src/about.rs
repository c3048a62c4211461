//! What is known of a topic's entries: whose data they hold, and what of them may stay.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use impresario_store::{Entry, Journal, NameId, StoreError, codec};

use crate::{AgentKey, SubjectId, Topic, moved::StateMoved, troupe::Troupe};

/// Whose data a body holds.
#[derive(Default)]
pub(crate) struct Holds {
    pub(crate) subjects: Vec<SubjectId>,
    pub(crate) joins: Option<[SubjectId; 2]>,
}

type Look = Box<dyn Fn(&[u8]) -> Result<Holds, StoreError> + Send + Sync>;
type Remainder = fn(&[u8]) -> Result<Bytes, StoreError>;

/// What is known of one topic.
pub(crate) struct About {
    topic: String,
    personal: bool,
    /// It outlives retention by age.
    kept: bool,
    /// It may say that two are one.
    joins: bool,
    look: Look,
    remainder: Remainder,
}

impl About {
    /// Of a topic by itself.
    pub(crate) fn topic<T: Topic>() -> Self {
        Self::keyed::<T>(|_| None)
    }

    /// Of a topic that an agent listens to: `key` tells whose state it changes.
    pub(crate) fn keyed<T: Topic>(key: impl Fn(&T) -> Option<SubjectId> + Send + Sync + 'static) -> Self {
        let look = move |body: &[u8]| {
            let event: T = codec::decode(T::VERSION, body)?;
            let subjects = event.subject().into_iter().chain(key(&event)).collect();
            Ok(Holds { subjects, joins: event.joins() })
        };
        let remainder = |body: &[u8]| match codec::decode::<T>(T::VERSION, body)?.remainder() {
            Some(left) => codec::encode(T::VERSION, &left),
            None => Ok(Bytes::new()),
        };
        Self {
            topic: T::NAME.to_owned(),
            personal: T::PERSONAL,
            kept: T::KEPT,
            joins: T::JOINS,
            look: Box::new(look),
            remainder,
        }
    }

    /// Of states on their way from one key to another.
    pub(crate) fn moved<K: AgentKey>(topic: String) -> Self {
        let look = |body: &[u8]| {
            let moved: StateMoved = codec::decode(1, body)?;
            let keys = [K::decode(&moved.from), K::decode(&moved.to)];
            let subjects: Vec<_> = keys.into_iter().flatten().filter_map(|key| key.subject()).collect();
            let joins = match subjects.as_slice() {
                [from, to] => Some([*from, *to]),
                _ => None,
            };
            Ok(Holds { subjects, joins })
        };
        Self { topic, personal: true, kept: true, joins: true, look: Box::new(look), remainder: |_| Ok(Bytes::new()) }
    }
}

/// What is known of all topics of a troupe, by their numbers in one journal.
pub(crate) struct Abouts(BTreeMap<NameId, Vec<Arc<About>>>);

impl Abouts {
    pub(crate) fn of(journal: &Journal, troupe: &Troupe) -> Self {
        let mut topics: BTreeMap<NameId, Vec<Arc<About>>> = BTreeMap::new();
        let own = troupe.agents.iter().flat_map(|agent| agent.abouts());
        for about in own.chain(troupe.abouts.iter().map(Arc::clone)) {
            if let Some(topic) = journal.known_name(&about.topic) {
                topics.entry(topic).or_default().push(about);
            }
        }
        Self(topics)
    }

    fn each(&self, topic: NameId) -> impl Iterator<Item = &Arc<About>> {
        self.0.get(&topic).into_iter().flatten()
    }

    /// Whose data a body of `topic` holds.
    pub(crate) fn holds(&self, topic: NameId, body: &[u8]) -> Result<Holds, StoreError> {
        let mut all = Holds::default();
        for about in self.each(topic) {
            let holds = (about.look)(body)?;
            all.subjects.extend(holds.subjects);
            all.joins = all.joins.or(holds.joins);
        }
        Ok(all)
    }

    /// Which two subjects a body of `topic` says may be one.
    pub(crate) fn joins(&self, topic: NameId, body: &[u8]) -> Result<Option<[SubjectId; 2]>, StoreError> {
        if !self.each(topic).any(|about| about.joins) {
            return Ok(None);
        }
        Ok(self.holds(topic, body).unwrap_or_default().joins)
    }

    /// Whether what comes of a person's entry is theirs, too; so it is of topics nobody has told of.
    pub(crate) fn is_personal(&self, topic: NameId) -> bool {
        self.each(topic).all(|about| about.personal)
    }

    /// Whether an entry goes with age: what people have done goes, what is said of everybody stays, and who
    /// has become whom, without which nobody could be found to be erased.
    pub(crate) fn is_forgotten_with_age(&self, entry: &Entry) -> bool {
        if entry.erased.is_some() {
            return true;
        }
        if !self.is_personal(entry.topic) || self.each(entry.topic).any(|about| about.kept) {
            return false;
        }
        // What can't be read was set aside when it came: an operator decides about it.
        self.holds(entry.topic, &entry.body).is_ok_and(|holds| holds.joins.is_none() && !holds.subjects.is_empty())
    }

    /// What of an entry may stay.
    pub(crate) fn remainder(&self, entry: &Entry) -> Result<Bytes, StoreError> {
        match self.each(entry.topic).next() {
            Some(about) => (about.remainder)(&entry.body),
            None => Ok(Bytes::new()),
        }
    }
}
