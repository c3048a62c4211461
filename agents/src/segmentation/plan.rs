//! A definition made ready for use: a tree of tests, and what it looks at.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    Aggregate, Comparison, Condition, EventCondition, Selector, SequenceCondition, Window,
    condition::{AbsentCondition, FeatureCondition, ScoreModel, TraitCondition},
    instant::Instant,
    measure::{Keep, MeasureSpec},
    score::ChurnTest,
    span::Span,
    truth::{InstantTest, MICROS, NumberTest, PropertyTest, ValueTest},
};
use crate::vocabulary::{Feature, Millis, Unit};

/// A node of the tree.
pub(super) enum Node {
    All(Vec<Node>),
    Any(Vec<Node>),
    Not(Box<Node>),
    Leaf(Leaf),
}

/// A single test, and how it is said.
pub(super) struct Leaf {
    pub(super) test: LeafTest,
    /// The condition in words, e.g. `orders >= 3`.
    pub(super) words: Box<str>,
}

pub(super) enum LeafTest {
    Trait {
        name: Box<str>,
        test: ValueTest,
    },
    TraitInstant {
        name: Box<str>,
        test: InstantTest,
    },
    Feature {
        feature: Feature,
        test: NumberTest,
    },
    FeatureInstant {
        feature: Feature,
        test: InstantTest,
    },
    /// A measure of all time, or of a fixed stretch of it.
    Total {
        measure: u32,
        aggregate: Aggregate,
        test: TotalTest,
    },
    /// A measure over a rolling window.
    Rolling {
        measure: u32,
        aggregate: Aggregate,
        window: Millis,
        test: TotalTest,
    },
    Sequence(Sequence),
    Member(Box<str>),
    Sample {
        share: u64,
        salt: Box<str>,
    },
    Churn(ChurnTest),
}

/// A test of what was measured: of a number, or of a single event's property.
pub(super) enum TotalTest {
    Number(NumberTest),
    Value(ValueTest),
}

/// One event after another, or not.
pub(super) struct Sequence {
    pub(super) first: u32,
    pub(super) then: u32,
    pub(super) within: Millis,
    pub(super) followed: bool,
    pub(super) rolling: Option<Millis>,
    pub(super) from: Option<Millis>,
    pub(super) to: Option<Millis>,
}

/// A compiled definition.
pub(super) struct Plan {
    pub(super) root: Node,
    /// Features it looks at.
    pub(super) features: BTreeSet<Feature>,
    /// Traits it looks at; of nested ones the outermost name, too.
    pub(super) traits: BTreeSet<Box<str>>,
    /// Segments it looks at.
    pub(super) segments: BTreeSet<Box<str>>,
    /// Measures it looks at, in the order they are met.
    pub(super) measures: Vec<u32>,
    /// Whether it looks at everybody's purchase rhythm.
    pub(super) looks_at_rhythm: bool,
}

/// Compiles a definition. `measure` gives the number of a measure; it is asked in the same order each time.
///
/// # Errors
/// What is wrong, with the path to it, e.g. `all[1].event: ..`.
pub(super) fn compile(condition: &Condition, measure: &mut dyn FnMut(MeasureSpec) -> u32) -> Result<Plan, String> {
    let root = Node::All(Vec::new());
    let mut compiler = Compiler {
        plan: Plan {
            root,
            features: BTreeSet::new(),
            traits: BTreeSet::new(),
            segments: BTreeSet::new(),
            measures: Vec::new(),
            looks_at_rhythm: false,
        },
        measure,
    };
    compiler.plan.root = compiler.node(condition, "condition")?;
    Ok(compiler.plan)
}

struct Compiler<'a> {
    plan: Plan,
    measure: &'a mut dyn FnMut(MeasureSpec) -> u32,
}

impl Compiler<'_> {
    fn node(&mut self, condition: &Condition, path: &str) -> Result<Node, String> {
        let leaf = match condition {
            Condition::All(list) => return Ok(Node::All(self.nodes(list, path, "all")?)),
            Condition::Any(list) => return Ok(Node::Any(self.nodes(list, path, "any")?)),
            Condition::Not(inner) => return Ok(Node::Not(Box::new(self.node(inner, &format!("{path}.not"))?))),
            Condition::Trait(test) => self.of_trait(test),
            Condition::Feature(test) => self.feature(test),
            Condition::Event(test) => self.event(test),
            Condition::Absent(test) => self.absent(test),
            Condition::Sequence(test) => self.sequence(test),
            Condition::Segment(id) => {
                self.plan.segments.insert(id.clone());
                Ok(Leaf { test: LeafTest::Member(id.clone()), words: format!("in segment `{id}`").into() })
            }
            Condition::Sample(sample) => {
                if sample.percent > 0.0 && sample.percent <= 100.0 {
                    // Of 2^64 hashes; a hundred per cent is all but one of them, which is all.
                    let share = (sample.percent / 100.0 * u64::MAX as f64) as u64;
                    let test = LeafTest::Sample { share, salt: sample.salt.clone() };
                    Ok(Leaf { test, words: format!("in the sample of {} %", sample.percent).into() })
                } else {
                    Err("`percent` is above 0 and at most 100".into())
                }
            }
            Condition::Score(score) => match score.model {
                ScoreModel::ChurnRisk => {
                    self.plan.looks_at_rhythm = true;
                    self.plan.features.extend([Feature::FIRST_ORDER_AT, Feature::LAST_ORDER_AT, Feature::ORDER_DAYS]);
                    let words = format!("churn risk {} {}", symbol(score.op), score.value).into();
                    ChurnTest::new(score.op, score.value).map(|test| Leaf { test: LeafTest::Churn(test), words })
                }
            },
        };
        leaf.map(Node::Leaf).map_err(|why| format!("{path}.{}: {why}", key_of(condition)))
    }

    fn nodes(&mut self, list: &[Condition], path: &str, key: &str) -> Result<Vec<Node>, String> {
        if list.is_empty() {
            return Err(format!("{path}.{key}: at least one condition is wanted"));
        }
        let each = list.iter().enumerate();
        each.map(|(index, inner)| self.node(inner, &format!("{path}.{key}[{index}]"))).collect()
    }

    fn of_trait(&mut self, test: &TraitCondition) -> Result<Leaf, String> {
        if test.name.is_empty() {
            return Err("the trait's name is empty".into());
        }
        self.plan.traits.insert(test.name.clone());
        if let Some((outer, _)) = test.name.split_once('.') {
            self.plan.traits.insert(outer.into());
        }
        let name = test.name.clone();
        let words = format!("trait {} {}", test.name, said(test.op, &test.value)).into();
        let test = match InstantTest::new(test.op, &test.value) {
            Some(instant) => LeafTest::TraitInstant { name, test: instant? },
            None => LeafTest::Trait { name, test: ValueTest::new(test.op, &test.value)? },
        };
        Ok(Leaf { test, words })
    }

    fn feature(&mut self, test: &FeatureCondition) -> Result<Leaf, String> {
        let known = || format!("there is no feature `{}`; the features are {}", test.name, Feature::names().join(", "));
        let feature = Feature::from_name(&test.name).ok_or_else(known)?;
        self.plan.features.insert(feature);
        let words = format!("{feature} {}", said(test.op, &test.value)).into();
        let test = match InstantTest::new(test.op, &test.value) {
            Some(instant) if feature.unit() == Unit::Instant => LeafTest::FeatureInstant { feature, test: instant? },
            Some(_) => return Err(format!("`{feature}` is no instant")),
            None if feature.unit() == Unit::Instant && !matches!(test.op, Comparison::Exists | Comparison::Missing) => {
                return Err(format!(
                    "`{feature}` is an instant: compare it with before, after, within_last, \
                     longer_ago_than, within_next, exists or missing"
                ));
            }
            None => LeafTest::Feature { feature, test: NumberTest::new(test.op, &test.value)? },
        };
        Ok(Leaf { test, words })
    }

    fn measure(&mut self, spec: MeasureSpec) -> u32 {
        let number = (self.measure)(spec);
        self.plan.measures.push(number);
        number
    }

    fn event(&mut self, condition: &EventCondition) -> Result<Leaf, String> {
        let selector = checked(condition.selector())?;
        match (condition.aggregate, &condition.property) {
            (Aggregate::Count, Some(_)) => return Err("`count` takes no property".into()),
            (Aggregate::Count, None) => {}
            (_, Some(property)) if !property.is_empty() => {}
            _ => return Err("a `property` is wanted for this aggregate".into()),
        }
        let test = match condition.aggregate {
            Aggregate::First | Aggregate::Last => TotalTest::Value(ValueTest::new(condition.op, &condition.value)?),
            _ => TotalTest::Number(NumberTest::new(condition.op, &condition.value)?),
        };
        let words = format!(
            "{} of {}{}{} {}",
            aggregate_name(condition.aggregate),
            name_of(&selector),
            condition.property.as_ref().map(|property| format!(".{property}")).unwrap_or_default(),
            window_words(&condition.window),
            said(condition.op, &condition.value)
        );
        let test = self.total(selector, condition.aggregate, condition.property.clone(), &condition.window, test)?;
        Ok(Leaf { test, words: words.into() })
    }

    fn absent(&mut self, condition: &AbsentCondition) -> Result<Leaf, String> {
        let AbsentCondition { kind, name, filters, window } = condition.clone();
        let selector = checked(Selector { kind, name, filters })?;
        let words = format!("no {}{}", name_of(&selector), window_words(&window)).into();
        let none = TotalTest::Number(NumberTest::new(Comparison::Equal, &Value::from(0))?);
        let test = self.total(selector, Aggregate::Count, None, &window, none)?;
        Ok(Leaf { test, words })
    }

    fn total(
        &mut self,
        selector: Selector,
        aggregate: Aggregate,
        property: Option<Box<str>>,
        window: &Window,
        test: TotalTest,
    ) -> Result<LeafTest, String> {
        let (rolling, from, to) = bounds(window)?;
        Ok(match rolling {
            Some(window) => {
                let keep = Keep::Log { horizon: Some(window) };
                let measure = self.measure(MeasureSpec { selector, keep, property });
                LeafTest::Rolling { measure, aggregate, window, test }
            }
            None => {
                let keep = Keep::Total { aggregate, from, to };
                LeafTest::Total { measure: self.measure(MeasureSpec { selector, keep, property }), aggregate, test }
            }
        })
    }

    fn sequence(&mut self, condition: &SequenceCondition) -> Result<Leaf, String> {
        let first = checked(condition.first.clone()).map_err(|why| format!("first: {why}"))?;
        let then = checked(condition.then.clone()).map_err(|why| format!("then: {why}"))?;
        let (rolling, from, to) = bounds(&condition.window)?;
        let words = format!(
            "{}{} {} {} within {}",
            name_of(&first),
            window_words(&condition.window),
            if condition.followed { "followed by" } else { "not followed by" },
            name_of(&then),
            condition.within
        );
        let keep = Keep::Log { horizon: rolling };
        let first = self.measure(MeasureSpec { selector: first, keep: keep.clone(), property: None });
        let then = self.measure(MeasureSpec { selector: then, keep, property: None });
        let within = condition.within.ms();
        let test = Sequence { first, then, within, followed: condition.followed, rolling, from, to };
        Ok(Leaf { test: LeafTest::Sequence(test), words: words.into() })
    }
}

/// A window's bounds: so long from now back, or from and to.
type Bounds = (Option<Millis>, Option<Millis>, Option<Millis>);

fn bounds(window: &Window) -> Result<Bounds, String> {
    let Window { last, from, to } = window;
    if last.is_some() && (from.is_some() || to.is_some()) {
        return Err("window: `last` and `from`/`to` exclude each other".into());
    }
    if let (Some(from), Some(to)) = (from, to)
        && from >= to
    {
        return Err("window: `from` is not before `to`".into());
    }
    Ok((last.map(Span::ms), from.map(Instant::ms), to.map(Instant::ms)))
}

fn checked(selector: Selector) -> Result<Selector, String> {
    use crate::vocabulary::EventKind;
    match (selector.kind, &selector.name) {
        (_, Some(name)) if name.is_empty() => Err("`name` is empty; leave it out to mean any".into()),
        (EventKind::Identify | EventKind::Group | EventKind::Alias, Some(_)) => {
            Err("identify, group and alias calls have no name".into())
        }
        _ => {
            selector.filters.iter().try_for_each(|filter| PropertyTest::new(filter).map(drop))?;
            Ok(selector)
        }
    }
}

fn key_of(condition: &Condition) -> &'static str {
    match condition {
        Condition::All(_) => "all",
        Condition::Any(_) => "any",
        Condition::Not(_) => "not",
        Condition::Trait(_) => "trait",
        Condition::Feature(_) => "feature",
        Condition::Event(_) => "event",
        Condition::Absent(_) => "absent",
        Condition::Sequence(_) => "sequence",
        Condition::Segment(_) => "segment",
        Condition::Sample(_) => "sample",
        Condition::Score(_) => "score",
    }
}

fn symbol(op: Comparison) -> String {
    match serde_json::to_value(op) {
        Ok(Value::String(symbol)) => symbol,
        _ => format!("{op:?}"),
    }
}

fn said(op: Comparison, value: &Value) -> String {
    const WORDS_MAX: usize = 80;
    if value.is_null() {
        return symbol(op);
    }
    let value: String = value.to_string().chars().take(WORDS_MAX).collect();
    format!("{} {value}", symbol(op))
}

fn aggregate_name(aggregate: Aggregate) -> &'static str {
    match aggregate {
        Aggregate::Count => "count",
        Aggregate::Sum => "sum",
        Aggregate::Min => "min",
        Aggregate::Max => "max",
        Aggregate::First => "first",
        Aggregate::Last => "last",
        Aggregate::Distinct => "distinct values",
    }
}

fn name_of(selector: &Selector) -> String {
    let kind = serde_json::to_value(selector.kind).ok();
    let kind = kind.as_ref().and_then(Value::as_str).unwrap_or("event");
    let name = selector.name.as_ref().map_or_else(|| format!("any {kind}"), |name| format!("`{name}`"));
    if selector.filters.is_empty() { name } else { format!("{name} (filtered)") }
}

fn window_words(window: &Window) -> String {
    match window {
        Window { last: Some(last), .. } => format!(" in the last {last}"),
        Window { from: Some(from), to: Some(to), .. } => format!(" from {from} to {to}"),
        Window { from: Some(from), .. } => format!(" from {from}"),
        Window { to: Some(to), .. } => format!(" before {to}"),
        _ => String::new(),
    }
}

/// A feature's number in the unit of tests: whole millionths; instants as they are.
pub(super) fn in_test_unit(feature: Feature, value: i64) -> i128 {
    match feature.unit() {
        Unit::Count => i128::from(value) * MICROS,
        Unit::Money | Unit::Instant => i128::from(value),
    }
}
