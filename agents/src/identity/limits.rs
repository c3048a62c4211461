//! How much one identifier and one person may glue.
//!
//! An identifier that many people share (an office's e-mail address, a till's tablet, a family's phone) must
//! not make them one customer, and a broken client that sends a new id with every event must not make a
//! customer without end. So every identifier has a cap of who may claim it, and everybody a cap of how
//! many identifiers of one kind they may have. For comparison: Segment Unify keeps 1,000 identifiers and 500
//! links of a profile and lets a space set a limit for each kind; DinMo has both caps, "profiles per value" and
//! "values per profile", and quarantines beyond them as we do; mParticle keeps one login id a profile.

use super::node::Sort;

/// Claims remembered of one identifier, or of one person and kind: beyond its cap they glue nothing, but
/// an operator may release them.
pub const HELD_MAX: usize = 1_000;
/// Who may claim an identifier that an operator has released.
pub const RELEASED_MAX: usize = HELD_MAX;
/// User ids one user id may be joined to by aliases. A shop joins two accounts, or a few after a merger.
pub const ALIASES_MAX: usize = 100;
/// Identifiers of one person in all. A safety bound far above what the caps let a real customer have: the
/// claim that would pass it is quarantined.
pub const PERSON_NODES_MAX: usize = 2_000;

/// How many may claim one identifier of this sort, those first by event time.
///
/// Who claims are user ids, and devices nobody has signed in on.
pub const fn claimants_max(sort: Sort) -> usize {
    match sort {
        // One person on many devices names the same address with each of them before signing in. (And devices
        // name a user id by the way, e.g. in a link of a message.)
        Sort::Email | Sort::Phone | Sort::External | Sort::UserId => 50,
        // A household's tablet has a handful of accounts; a till has hundreds.
        Sort::AnonymousId | Sort::DeviceToken => 10,
    }
}

/// How many identifiers of this sort one user id, or one device, may have, those first by event time.
pub const fn identifiers_max(sort: Sort) -> usize {
    match sort {
        // Browsers that drop their cookies every week make fifty anonymous ids a year.
        Sort::AnonymousId => 150,
        // Push tokens change with every installation.
        Sort::DeviceToken | Sort::External => 25,
        // Nobody changes their address that often; a support desk that types customers' addresses does.
        Sort::Email | Sort::Phone | Sort::UserId => 10,
    }
}
