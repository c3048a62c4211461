//! Where in HTML an output stands, so that what comes of data stays data there.

/// Where an output stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spot {
    /// In plain text: said as it is.
    Plain,
    /// In HTML's text or in an attribute: escaped.
    Html,
    /// At the beginning of an attribute that is an address: escaped, and no script's.
    Address,
}

/// Attributes that are addresses.
const ADDRESSES: [&str; 9] =
    ["href", "src", "action", "formaction", "background", "poster", "cite", "data", "xlink:href"];
/// Length of a name that is kept.
const NAME_MAX: usize = 32;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Text,
    /// In the name of a tag.
    Opening,
    /// Between attributes, or in the name of one.
    Inside,
    /// After the `=` of an attribute.
    BeforeValue,
    /// In a value between these marks.
    Quoted(char),
    Unquoted,
    Comment,
    /// In a script or a style sheet.
    RawText,
}

/// The way through a page, text by text.
#[derive(Clone, Debug, Default)]
pub(super) struct Html {
    state: State,
    /// Of the tag, or the comment's last characters.
    tag: String,
    attribute: String,
    /// Whether the attribute's name has ended.
    named: bool,
    /// Whether nothing of the value has come yet.
    begins: bool,
}

fn keep(name: &mut String, c: char) {
    if name.len() < NAME_MAX {
        name.push(c.to_ascii_lowercase());
    }
}

impl Html {
    /// Goes on through a text.
    pub(super) fn pass(&mut self, text: &str) {
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            match self.state {
                State::Text if c == '<' => {
                    // Before an output nobody knows yet what comes.
                    let opens = |next: &char| next.is_ascii_alphabetic() || matches!(next, '/' | '!');
                    let opens = chars.peek().is_none_or(opens);
                    if opens {
                        self.state = State::Opening;
                        self.tag.clear();
                    }
                }
                State::Text => {}
                State::Opening => self.opening(c),
                State::Inside => self.inside(c),
                State::BeforeValue => match c {
                    '"' | '\'' => self.state = State::Quoted(c),
                    '>' => self.close(),
                    _ if c.is_whitespace() => {}
                    _ => self.state = State::Unquoted,
                },
                State::Quoted(mark) if c == mark => self.next_attribute(),
                State::Quoted(_) => self.begins = self.begins && c.is_whitespace(),
                State::Unquoted if c == '>' => self.close(),
                State::Unquoted if c.is_whitespace() => self.next_attribute(),
                State::Unquoted => {}
                State::Comment => {
                    if c == '>' && self.tag.ends_with("--") {
                        self.state = State::Text;
                    }
                    self.remember(c, 2);
                }
                State::RawText => {
                    let is_end = c == '>' && (self.tag.ends_with("</script") || self.tag.ends_with("</style"));
                    if is_end {
                        self.state = State::Text;
                    }
                    self.remember(c, 8);
                }
            }
        }
    }

    fn opening(&mut self, c: char) {
        if self.tag.is_empty() && !c.is_ascii_alphabetic() && !matches!(c, '/' | '!') {
            self.state = State::Text;
        } else if c == '>' {
            self.close();
        } else if c.is_whitespace() {
            self.next_attribute();
        } else {
            keep(&mut self.tag, c);
            if self.tag == "!--" {
                self.state = State::Comment;
                self.tag.clear();
            }
        }
    }

    fn inside(&mut self, c: char) {
        match c {
            '>' => self.close(),
            '=' => {
                self.state = State::BeforeValue;
                self.begins = true;
            }
            _ if c.is_whitespace() => self.named = !self.attribute.is_empty(),
            _ => {
                if std::mem::take(&mut self.named) {
                    self.attribute.clear();
                }
                keep(&mut self.attribute, c);
            }
        }
    }

    fn next_attribute(&mut self) {
        self.state = State::Inside;
        self.attribute.clear();
        self.named = false;
    }

    fn close(&mut self) {
        let is_raw = matches!(self.tag.as_str(), "script" | "style");
        self.state = if is_raw { State::RawText } else { State::Text };
    }

    /// Keeps the last characters.
    fn remember(&mut self, c: char, chars: usize) {
        self.tag.push(c.to_ascii_lowercase());
        if self.tag.chars().count() > chars {
            self.tag.remove(0);
        }
    }

    /// Whether it is in the text of a page.
    pub(super) fn is_text(&self) -> bool {
        self.state == State::Text
    }

    /// Where an output that comes now stands.
    ///
    /// # Errors
    /// It stands where data would become something else.
    pub(super) fn spot(&mut self) -> Result<Spot, &'static str> {
        match self.state {
            State::Text | State::Comment => Ok(Spot::Html),
            State::Quoted(_) => {
                let begins = std::mem::replace(&mut self.begins, false);
                if self.attribute.starts_with("on") {
                    Err("data can't stand in a script")
                } else if begins && ADDRESSES.contains(&self.attribute.as_str()) {
                    Ok(Spot::Address)
                } else {
                    Ok(Spot::Html)
                }
            }
            State::BeforeValue | State::Unquoted => Err("an attribute with data in it needs quotes around its value"),
            State::Opening | State::Inside => Err("data stands in text, or in an attribute's value in quotes"),
            State::RawText => Err("data can't stand in a script or a style sheet"),
        }
    }
}

/// Whether an address leads nowhere but to a page, a mailbox or a telephone.
pub(super) fn is_harmless(address: &str) -> bool {
    let seen: String = address.chars().filter(|c| !c.is_whitespace() && !c.is_control()).take(64).collect();
    let Some(end) = seen.find([':', '/', '?', '#']) else { return true };
    if !seen.get(end..).is_some_and(|rest| rest.starts_with(':')) {
        return true;
    }
    let scheme = seen.get(..end).unwrap_or_default();
    ["http", "https", "mailto", "tel", "sms"].iter().any(|known| scheme.eq_ignore_ascii_case(known))
}
