//! An e-mail address as it is matched: two spellings of one mailbox are one identifier.
//!
//! What a person's traits say is kept as it came; this is for recognising them alone.

use unicode_normalization::{UnicodeNormalization, is_nfc};

/// The address in lower case, normalised (NFC), with no space around it, and with a domain in Unicode: `xn--`
/// labels (RFC 3492, RFC 5890) are decoded. `None` where it is no address.
///
/// The part before the `@` is case-sensitive by RFC 5321, but no provider of note treats it so.
pub(super) fn normalise(text: &str) -> Option<String> {
    let text = text.trim();
    let (local, domain) = text.rsplit_once('@')?;
    if local.is_empty() || domain.is_empty() {
        return None;
    }
    if text.is_ascii() && !domain.split('.').any(is_encoded) {
        return Some(text.to_ascii_lowercase());
    }
    let label = |label: &str| {
        let decoded = is_encoded(label).then(|| decode(&label.get(4..)?.to_ascii_lowercase())).flatten();
        decoded.unwrap_or_else(|| label.to_owned())
    };
    let domain: Vec<_> = domain.split(['.', '\u{3002}', '\u{ff0e}', '\u{ff61}']).map(label).collect();
    // Lower case may need normalising again, and is the same afterwards.
    let whole: String = format!("{local}@{}", domain.join(".")).nfc().collect::<String>().to_lowercase();
    Some(if is_nfc(&whole) { whole } else { whole.nfc().collect() })
}

fn is_encoded(label: &str) -> bool {
    label.get(..4).is_some_and(|prefix| prefix.eq_ignore_ascii_case("xn--"))
}

/// Decodes Punycode (RFC 3492, section 6.2); `None` where it is none.
fn decode(text: &str) -> Option<String> {
    const BASE: u32 = 36;
    const T_MIN: u32 = 1;
    const T_MAX: u32 = 26;
    let (basic, digits) = text.rsplit_once('-').unwrap_or(("", text));
    let mut decoded: Vec<char> = basic.chars().collect();
    let (mut code, mut place, mut bias, mut first) = (128_u32, 0_u32, 72_u32, true);
    let mut digits = digits.bytes().peekable();
    while digits.peek().is_some() {
        let (before, mut weight, mut k) = (place, 1_u32, BASE);
        loop {
            let digit = match digits.next()? {
                letter @ b'a'..=b'z' => u32::from(letter - b'a'),
                number @ b'0'..=b'9' => u32::from(number - b'0') + 26,
                _ => return None,
            };
            place = place.checked_add(digit.checked_mul(weight)?)?;
            let threshold = k.saturating_sub(bias).clamp(T_MIN, T_MAX);
            if digit < threshold {
                break;
            }
            weight = weight.checked_mul(BASE - threshold)?;
            k += BASE;
        }
        let length = u32::try_from(decoded.len()).ok()? + 1;
        let mut delta = (place - before) / if first { 700 } else { 2 };
        delta += delta / length;
        let mut shifts = 0;
        while delta > (BASE - T_MIN) * T_MAX / 2 {
            delta /= BASE - T_MIN;
            shifts += BASE;
        }
        bias = shifts + (BASE - T_MIN + 1) * delta / (delta + 38);
        first = false;
        code = code.checked_add(place / length)?;
        place %= length;
        decoded.insert(usize::try_from(place).ok()?, char::from_u32(code)?);
        place += 1;
    }
    // What needed no encoding was not encoded: such a label is only what it looks like.
    let decoded: String = decoded.into_iter().collect();
    (!decoded.is_ascii() && !is_encoded(&decoded)).then_some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_mailbox_are_one() {
        let check = |text: &str, expect: Option<&str>| assert_eq!(normalise(text).as_deref(), expect, "{text}");
        check(" Anna@Example.TEST ", Some("anna@example.test"));
        check("anna@b\u{fc}cher.example", Some("anna@b\u{fc}cher.example"));
        check("anna@xn--bcher-kva.example", Some("anna@b\u{fc}cher.example"));
        check("anna@XN--BCHER-KVA.example", Some("anna@b\u{fc}cher.example"));
        check("anna@bu\u{308}cher.example", Some("anna@b\u{fc}cher.example"));
        check("\u{141}ukasz@example.test", Some("\u{142}ukasz@example.test"));
        check(
            "a@xn--ihqwcrb4cv8a8dqg056pqjye",
            Some("a@\u{4ed6}\u{4eec}\u{4e3a}\u{4ec0}\u{4e48}\u{4e0d}\u{8bf4}\u{4e2d}\u{6587}"),
        );
        check("a@xn--!", Some("a@xn--!"));
        check("a@xn--99999999999", Some("a@xn--99999999999"));
        check("\"a@b\"@c.test", Some("\"a@b\"@c.test"));
        for none in ["", "@", "a@", "@b", "none"] {
            check(none, None);
        }
    }

    #[test]
    fn what_is_normalised_is_so_already() {
        for text in ["A@B.c", "\u{1e9e}@\u{130}.test", "\u{212b}@xn--bcher-kva", "a@xn--xn---", "a@xn--"] {
            let once = normalise(text).unwrap();
            assert_eq!(normalise(&once).as_deref(), Some(once.as_str()), "{text}");
        }
    }
}
