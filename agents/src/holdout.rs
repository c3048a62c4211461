//! Who is left alone, so that the lift of everything else can be measured.
//!
//! Membership is a salted hash and nothing else: of every user id and anonymous id of a person, for each goal
//! and for the whole shop. Once any of a person's ids is in it, the person is. So it needs no memory to
//! survive restarts, and no merge, in any order, moves anybody out: a person's ids only become more. (Where an
//! operator undoes a merge, each of the two is what its own ids say.)
//!
//! Somebody with more ids is in it more likely. How likely is known exactly ([`Holdout::probability`]), so
//! estimates weigh people by it (Horvitz and Thompson 1952).

use serde::{Deserialize, Serialize};

use crate::{
    profiles::{KnownIdentifier, Profile},
    vocabulary::{IdentifierKind, ProfileId},
};

/// A holdout: a share of ids, drawn by a salt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Holdout {
    /// What sets this draw apart from all others, e.g. the goal's id; empty for the shop's own.
    pub salt: Box<str>,
    /// The share of ids, from 0 to 1.
    pub share: f64,
}

impl Holdout {
    /// The holdout of the whole shop, from everything that persuades.
    pub fn global(share: f64) -> Self {
        Self { salt: "".into(), share }
    }

    /// The holdout of one goal.
    pub fn of_goal(goal: &str, share: f64) -> Self {
        Self { salt: format!("goal:{goal}").into(), share }
    }

    /// Whether a person with these ids is in it; nobody is who has none.
    pub fn holds(&self, ids: impl IntoIterator<Item = ProfileId>) -> bool {
        ids.into_iter().any(|id| self.holds_id(id))
    }

    /// How likely somebody with so many ids is in it.
    pub fn probability(&self, ids: usize) -> f64 {
        let ids = i32::try_from(ids).unwrap_or(i32::MAX);
        1.0 - libm::pow(1.0 - self.share.clamp(0.0, 1.0), f64::from(ids))
    }

    fn holds_id(&self, id: ProfileId) -> bool {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"holdout").update(&id.0.to_le_bytes()).update(self.salt.as_bytes());
        let [a, b, c, d, e, f, g, ..] = *hasher.finalize().as_bytes();
        // 53 bits, so that every draw is a number of its own and a share of 1 holds everybody.
        let draw = u64::from_le_bytes([a, b, c, d, e, f, g, 0]) >> 3;
        let drawn = draw as f64 / (1_u64 << 53) as f64;
        drawn < self.share
    }
}

/// The ids of a person that are drawn: user ids and anonymous ids, whoever they belong to.
pub fn ids_of(profile: &Profile) -> impl Iterator<Item = ProfileId> + '_ {
    let drawn = |kind: &IdentifierKind| matches!(kind, IdentifierKind::UserId | IdentifierKind::AnonymousId);
    profile.identifiers.iter().filter(move |known| drawn(&known.kind)).filter_map(KnownIdentifier::node)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocabulary::Identifier;

    fn id(kind: IdentifierKind, text: &str) -> ProfileId {
        Identifier::new(kind, text).map(|identifier| identifier.node()).unwrap()
    }

    #[test]
    fn the_share_is_kept_and_salts_draw_anew() {
        let ids: Vec<_> = (0..20_000).map(|place| id(IdentifierKind::UserId, &format!("user-{place}"))).collect();
        let of = |holdout: &Holdout| ids.iter().filter(|id| holdout.holds([**id])).count();
        let (shop, goal) = (Holdout::global(0.1), Holdout::of_goal("win-back", 0.1));
        assert!((1_850..2_150).contains(&of(&shop)), "{}", of(&shop));
        let both = ids.iter().filter(|id| shop.holds([**id]) && goal.holds([**id])).count();
        assert!((140..260).contains(&both), "{both}");
        assert_eq!((of(&Holdout::global(0.0)), of(&Holdout::global(1.0))), (0, ids.len()));
    }

    #[test]
    fn it_is_drawn_the_same_for_ever() {
        let held: Vec<_> = (0..20).filter(|place| Holdout::global(0.2).holds([ProfileId(*place)])).collect();
        assert_eq!(held, HELD_OF_TWENTY, "the draw must never change: lift is measured against it");
    }

    #[test]
    fn no_merge_moves_anybody_out() {
        let holdout = Holdout::global(0.3);
        for place in 0..500 {
            let device = id(IdentifierKind::AnonymousId, &format!("device-{place}"));
            let user = id(IdentifierKind::UserId, &format!("user-{place}"));
            let before = holdout.holds([device]) || holdout.holds([user]);
            assert_eq!(holdout.holds([device, user]), before);
        }
        assert!((holdout.probability(2) - 0.51).abs() < 1e-12);
    }

    const HELD_OF_TWENTY: [u64; 1] = [2];
}
