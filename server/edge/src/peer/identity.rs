//! Who somebody is, as far as that is proved, and the same in words that are read back.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// What one has left, another one must not find.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Identity {
    /// A user of this machine: the kernel says so.
    User(u32),
    /// Whoever has a certificate of this subject.
    Subject(Arc<[u8]>),
    /// Somebody on the network. All of them are the same.
    #[default]
    Anybody,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(uid) => write!(f, "user {uid}"),
            Self::Subject(subject) => {
                f.write_str("subject ")?;
                subject.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
            Self::Anybody => f.write_str("anybody"),
        }
    }
}

/// These words name nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nobody;

impl FromStr for Identity {
    type Err = Nobody;

    fn from_str(text: &str) -> Result<Self, Nobody> {
        match text.split_once(' ') {
            Some(("user", uid)) => uid.parse().map(Self::User).map_err(|_| Nobody),
            Some(("subject", digits)) => {
                bytes(digits).map(|subject| Self::Subject(subject.into())).ok_or(Nobody)
            }
            None if text == "anybody" => Ok(Self::Anybody),
            Some(_) | None => Err(Nobody),
        }
    }
}

fn bytes(digits: &str) -> Option<Vec<u8>> {
    let byte = |pair: &[u8]| match pair {
        [high, low] => u8::from_str_radix(std::str::from_utf8(&[*high, *low]).ok()?, 16).ok(),
        _ => None,
    };
    digits.as_bytes().chunks(2).map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_written_down_is_read_back_and_nonsense_is_nobody() {
        let subject: Arc<[u8]> = Arc::from([0, 0x7f, 0xff].as_slice());
        for who in [Identity::User(1000), Identity::Subject(subject), Identity::Anybody] {
            assert_eq!(who.to_string().parse(), Ok(who));
        }
        for nonsense in
            ["", "user", "user x", "user -1", "subject 0", "subject zz", "subject \u{e9}", "root 0"]
        {
            assert_eq!(nonsense.parse::<Identity>(), Err(Nobody), "{nonsense}");
        }
    }
}
