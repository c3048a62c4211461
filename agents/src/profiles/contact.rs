//! How a person may be reached, told whole wherever it changes: all that the gate asks of the profile.

use super::{KnownIdentifier, Profile};
use crate::{
    holdout,
    vocabulary::{Address, Channel, ConsentState, Contact, ContactChanged, Identifier, IdentifierKind, ProfileId},
};

/// Addresses told of one channel.
const ADDRESSES_MAX: usize = 5;
/// Longest zone or language told, in bytes.
const NAME_MAX: usize = 64;

/// Whether a trait is one that [`Contact`] tells of.
pub(super) fn is_told(name: &str) -> bool {
    matches!(name, "email" | "phone" | "timezone" | "locale" | "language")
}

impl Profile {
    /// How they may be reached, as it is now.
    pub fn contact(&self) -> Contact {
        let mut ids: Vec<_> = holdout::ids_of(self).collect();
        ids.sort_unstable();
        ids.dedup();
        let told = |consent: super::Consent<'_>| ConsentState {
            of: consent.of.into(),
            granted: consent.granted,
            at_ms: consent.at_ms,
        };
        let zone = self.hours.zone().or_else(|| self.name_trait("timezone"));
        let locale = self.name_trait("locale").or_else(|| self.name_trait("language"));
        Contact {
            ids,
            addresses: Channel::ALL.into_iter().flat_map(|channel| self.addresses(channel)).collect(),
            consents: self.consents.iter().map(told).collect(),
            zone: zone.map(Into::into),
            locale: locale.map(Into::into),
        }
    }

    pub(super) fn contact_changed(&self, profile: ProfileId) -> ContactChanged {
        ContactChanged { profile, contact: self.contact() }
    }

    fn name_trait(&self, name: &str) -> Option<&str> {
        let text = self.traits.get(name)?.value.as_str()?;
        (!text.is_empty() && text.len() <= NAME_MAX).then_some(text)
    }

    /// The trait as it was given first, then the newest of the identifiers that are nobody else's.
    fn addresses(&self, channel: Channel) -> Vec<Address> {
        let (kind, name) = match channel {
            Channel::Email => (IdentifierKind::Email, "email"),
            Channel::Sms => (IdentifierKind::Phone, "phone"),
            Channel::Push => (IdentifierKind::DeviceToken, ""),
        };
        let mut known: Vec<&KnownIdentifier> =
            self.identifiers.iter().filter(|known| known.kind == kind && !self.is_disputed(known)).collect();
        known.sort_unstable_by(|a, b| (b.first_at_ms(), &a.value).cmp(&(a.first_at_ms(), &b.value)));
        let given = self.traits.get(name).and_then(|write| match &write.value {
            serde_json::Value::String(text) => Some(text.trim().to_owned()),
            serde_json::Value::Number(number) => Some(number.to_string()),
            _ => None,
        });
        let given = given.filter(|text| !text.is_empty() && text.len() <= 320);
        let given = given.and_then(|text| Some((Identifier::new(kind.clone(), &text)?, text)));
        let mut addresses = Vec::new();
        if let Some((identifier, text)) = &given
            && known.iter().any(|known| known.value == identifier.value)
        {
            addresses.push(Address { channel, value: text.as_str().into() });
            known.retain(|known| known.value != identifier.value);
        }
        addresses.extend(known.into_iter().map(|known| Address { channel, value: known.value.clone() }));
        addresses.truncate(ADDRESSES_MAX);
        addresses
    }
}
