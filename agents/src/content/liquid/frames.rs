//! Where names get their values: what was assigned, what is given, and the rounds of loops. Nothing that is not
//! there is an error.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
};

use liquid_core::{
    Error, Renderable, Result, Runtime, Value, ValueCow, ValueView,
    model::{KString, KStringCow, KStringRef, ScalarCow},
    runtime::{PartialStore, Registers},
};
use serde_json::{Map, Value as Json};

use super::{
    around::{Around, burn, burn_copy},
    values::{Found, count, find, find_json, json_weight, of_json},
    words::INDEX_MARK,
};

/// What is said where the crates stopped and did not say why.
pub(super) const STOPPED: &str = "something can't take what it is given";

/// There are no templates in templates.
#[derive(Debug)]
struct NoPartials;

impl PartialStore for NoPartials {
    fn contains(&self, _: &str) -> bool {
        false
    }

    fn names(&self) -> Vec<&str> {
        Vec::new()
    }

    fn try_get(&self, _: &str) -> Option<std::sync::Arc<dyn Renderable>> {
        None
    }

    fn get(&self, _: &str) -> Result<std::sync::Arc<dyn Renderable>> {
        Err(Error::with_msg("there are no templates in templates"))
    }
}

/// What a template is given, and what it assigns.
pub(super) struct Scope<'g> {
    given: &'g Map<String, Json>,
    own: RefCell<BTreeMap<KString, Value>>,
    counts: RefCell<BTreeMap<KString, Value>>,
    registers: Registers,
}

impl<'g> Scope<'g> {
    pub(super) fn new(given: &'g Map<String, Json>, around: Around) -> Self {
        let registers = Registers::default();
        *registers.get_mut::<Around>() = around;
        Self { given, own: RefCell::default(), counts: RefCell::default(), registers }
    }

    /// Why a rendering stopped; `full` is the limit where it came to too much.
    pub(super) fn fault(&self, full: Option<usize>) -> String {
        let what = match full {
            Some(bytes_max) => format!("it comes to more than {bytes_max} bytes"),
            None => STOPPED.to_owned(),
        };
        self.registers.get_mut::<Around>().fault(&what)
    }

    fn find(&self, path: &[ScalarCow<'_>]) -> Result<Value> {
        let Some((root, rest)) = path.split_first() else { return Ok(Value::Nil) };
        let root = root.to_kstr();
        for names in [&self.own, &self.counts] {
            // What was assigned comes before what is given, what is counted after it.
            if std::ptr::eq(names, &self.counts)
                && let Some(given) = self.given.get(root.as_str())
            {
                return match find_json(given, rest) {
                    Some(Found::Data(json)) => {
                        burn(self, json_weight(json) / 16)?;
                        Ok(of_json(json))
                    }
                    Some(Found::Size(size)) => Ok(count(size)),
                    None => Ok(Value::Nil),
                };
            }
            if let Some(value) = names.borrow().get(root.as_str()) {
                let found = find(value, rest).map_or(Value::Nil, ValueCow::into_owned);
                burn_copy(self, &found)?;
                return Ok(found);
            }
        }
        Ok(Value::Nil)
    }
}

/// One round of a loop.
pub(super) struct Round<'r> {
    pub(super) outer: &'r dyn Runtime,
    pub(super) variable: &'r str,
    pub(super) item: &'r Value,
    pub(super) at: usize,
    pub(super) length: usize,
}

impl Round<'_> {
    fn find(&self, path: &[ScalarCow<'_>]) -> Result<ValueCow<'_>> {
        let Some((root, rest)) = path.split_first() else { return Ok(ValueCow::Owned(Value::Nil)) };
        let root = root.to_kstr();
        if root.as_str() == self.variable {
            return Ok(find(self.item, rest).unwrap_or(ValueCow::Owned(Value::Nil)));
        }
        if root.as_str() != "forloop" {
            return self.outer.get(path);
        }
        let Some((field, rest)) = rest.split_first() else { return Ok(ValueCow::Owned(self.forloop())) };
        let field = field.to_kstr();
        if field.as_str() == "parentloop" {
            let mut outer = vec![ScalarCow::new("forloop")];
            outer.extend(rest.iter().cloned());
            return self.outer.get(&outer);
        }
        let told = if rest.is_empty() { self.told(field.as_str()) } else { None };
        Ok(ValueCow::Owned(told.unwrap_or(Value::Nil)))
    }

    fn told(&self, field: &str) -> Option<Value> {
        Some(match field {
            "index" => count(self.at + 1),
            "index0" => count(self.at),
            "rindex" => count(self.length.saturating_sub(self.at)),
            "rindex0" => count(self.length.saturating_sub(self.at + 1)),
            "first" => Value::scalar(self.at == 0),
            "last" => Value::scalar(self.at + 1 == self.length),
            "length" => count(self.length),
            _ => return None,
        })
    }

    fn forloop(&self) -> Value {
        let fields = ["index", "index0", "rindex", "rindex0", "first", "last", "length"];
        Value::Object(fields.into_iter().filter_map(|field| Some((field.into(), self.told(field)?))).collect())
    }
}

/// The value of a path, with its steps taken. A path inside of brackets is marked: what it comes to must be one
/// plain value, or the crate stops with an error.
fn look_up<'c, R: Runtime>(
    frame: &'c R,
    path: &[ScalarCow<'_>],
    found: impl FnOnce(&'c R, &[ScalarCow<'_>]) -> Result<ValueCow<'c>>,
) -> Result<ValueCow<'c>> {
    burn(frame, 1 + path.len())?;
    let root = path.first().map(ScalarCow::to_kstr);
    let Some(marked) = root.as_ref().and_then(|root| root.as_str().strip_prefix(INDEX_MARK)) else {
        return found(frame, path);
    };
    let mut unmarked = path.to_vec();
    if let Some(root) = unmarked.first_mut() {
        *root = ScalarCow::new(marked.to_owned());
    }
    let index = found(frame, &unmarked)?;
    Ok(if index.as_view().is_scalar() { index } else { ValueCow::Owned(Value::scalar(f64::NAN)) })
}

macro_rules! frame {
    ($frame:ident, $of:ident => $registers:expr, $set_global:expr, $set_index:expr, $get_index:expr, $find:expr) => {
        impl Runtime for $frame<'_> {
            fn partials(&self) -> &dyn PartialStore {
                &NoPartials
            }

            fn name(&self) -> Option<KStringRef<'_>> {
                None
            }

            fn roots(&self) -> BTreeSet<KStringCow<'_>> {
                BTreeSet::new()
            }

            fn try_get(&self, path: &[ScalarCow<'_>]) -> Option<ValueCow<'_>> {
                self.get(path).ok()
            }

            fn get(&self, path: &[ScalarCow<'_>]) -> Result<ValueCow<'_>> {
                look_up(self, path, $find)
            }

            fn set_global(&self, name: KString, value: Value) -> Option<Value> {
                let $of = self;
                $set_global(name, value)
            }

            fn set_index(&self, name: KString, value: Value) -> Option<Value> {
                let $of = self;
                $set_index(name, value)
            }

            fn get_index<'a>(&'a self, name: &str) -> Option<ValueCow<'a>> {
                let $of = self;
                $get_index(name)
            }

            fn registers(&self) -> &Registers {
                let $of = self;
                $registers
            }
        }
    };
}

frame!(Scope, scope => &scope.registers,
    |name, value| scope.own.borrow_mut().insert(name, value),
    |name, value| scope.counts.borrow_mut().insert(name, value),
    |name: &str| scope.counts.borrow().get(name).cloned().map(ValueCow::Owned),
    |scope, path| scope.find(path).map(ValueCow::Owned));
frame!(Round, round => round.outer.registers(),
    |name, value| round.outer.set_global(name, value),
    |name, value| round.outer.set_index(name, value),
    |name| round.outer.get_index(name),
    Round::find);
