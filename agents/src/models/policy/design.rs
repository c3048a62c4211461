use std::collections::BTreeMap;

use super::PolicyParams;

/// Coefficients a belief may have: it takes their square in memory and their cube in time.
const COEFFICIENTS_MAX: usize = 320;

/// Which coefficients and which blocks of person features each arm is the sum of.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Design {
    /// By arm; the first is nothing.
    pub(super) arms: Vec<Parts>,
    /// The group of each coefficient: those of a group have one width.
    pub(super) groups: Vec<Group>,
    /// How many groups there are.
    pub(super) groups_len: usize,
    /// Blocks of person features: of everybody, of being contacted, and of each level.
    pub(super) blocks: usize,
}

/// What an arm is the sum of.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Parts {
    /// Numbers of coefficients, ascending.
    pub(super) coefficients: Vec<usize>,
    /// Numbers of blocks beside the first, which all arms have.
    pub(super) blocks: Vec<usize>,
}

/// A group of coefficients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Group {
    /// Its number.
    pub(super) number: usize,
    pub(super) kind: Kind,
    /// The factors it is about, as bits.
    pub(super) factors: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The shop's base.
    Base,
    /// Being contacted at all.
    Contact,
    /// A level.
    Main,
    /// Two levels together.
    Pair,
}

impl Design {
    pub(super) fn of(params: &PolicyParams) -> Self {
        let mut design = Self { arms: Vec::new(), groups: Vec::new(), groups_len: 0, blocks: 2 };
        let base = design.group(Kind::Base, 0);
        design.groups.push(base);
        let contact = design.group(Kind::Contact, 0);
        design.groups.push(contact);
        design.arms.push(Parts { coefficients: vec![0], blocks: Vec::new() });
        design.arms.extend(params.arms.iter().map(|_| Parts { coefficients: vec![0, 1], blocks: vec![1] }));
        // A factor of one level tells no arm from another.
        let telling = params.factors.iter().enumerate().filter(|(_, factor)| factor.levels.len() > 1);
        let telling: Vec<usize> = telling.map(|(place, _)| place).collect();
        for &factor in &telling {
            design.add(params, Kind::Main, &[factor]);
        }
        let mut pairs: Vec<(usize, [usize; 2])> = Vec::new();
        for (place, &first) in telling.iter().enumerate() {
            for &second in telling.iter().skip(place + 1) {
                pairs.push((distinct(params, &[first, second]).len(), [first, second]));
            }
        }
        // The smallest tables first, while there is room.
        pairs.sort_unstable();
        for (size, pair) in pairs {
            if design.groups.len() + size <= COEFFICIENTS_MAX {
                design.add(params, Kind::Pair, &pair);
            }
        }
        design
    }

    /// The block of person features of one level of a factor; none where all arms have the same level.
    pub(super) fn block_of(&self, params: &PolicyParams, factor: usize, level: u16) -> Option<usize> {
        let telling = |place: &usize| params.factors.get(*place).is_some_and(|factor| factor.levels.len() > 1);
        let before = (0..factor).filter(telling).count();
        let arm = params.arms.iter().position(|arm| arm.get(factor) == Some(&level)).filter(|_| telling(&factor))?;
        // The first one is being contacted at all; those of levels follow in the order of the factors.
        self.arms.get(arm + 1)?.blocks.get(before + 1).copied()
    }

    fn group(&mut self, kind: Kind, factors: u8) -> Group {
        self.groups_len += 1;
        Group { number: self.groups_len - 1, kind, factors }
    }

    fn add(&mut self, params: &PolicyParams, kind: Kind, factors: &[usize]) {
        let group = self.group(kind, factors.iter().fold(0, |bits, factor| bits | 1 << factor));
        let numbers = distinct(params, factors);
        let first = self.groups.len();
        self.groups.extend(numbers.iter().map(|_| group));
        for (parts, arm) in self.arms.iter_mut().skip(1).zip(&params.arms) {
            if let Some(place) = numbers.get(&levels_of(arm, factors)) {
                parts.coefficients.push(first + place);
                if kind == Kind::Main {
                    parts.blocks.push(self.blocks + place);
                }
            }
        }
        if kind == Kind::Main {
            self.blocks += numbers.len();
        }
    }
}

fn levels_of(arm: &[u16], factors: &[usize]) -> Vec<u16> {
    factors.iter().filter_map(|factor| arm.get(*factor).copied()).collect()
}

/// The combinations of levels that some arm has, numbered in their order.
fn distinct(params: &PolicyParams, factors: &[usize]) -> BTreeMap<Vec<u16>, usize> {
    let mut numbers: BTreeMap<Vec<u16>, usize> = params.arms.iter().map(|arm| (levels_of(arm, factors), 0)).collect();
    for (place, number) in numbers.values_mut().enumerate() {
        *number = place;
    }
    numbers
}
