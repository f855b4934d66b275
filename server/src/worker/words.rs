//! What the daemon and a worker say, and the messages for it (`proto/WORKER.md`). Pure.

use super::frame::{INPUT, Message};
use super::life::{Reply, Word};
use bytes::Bytes;
use sidewinder_keeper_wire::{Broken, Fields, put_field, unknown};
use std::sync::Arc;
use std::time::Duration;

const TOOL: u16 = 1;
const CONTENT_TYPE: u16 = 2;
const DEADLINE: u16 = 3;
const METADATA: u16 = 4;
const TRACEPARENT: u16 = 5;
const CLIENT: u16 = 6;
const CREDIT: u16 = 7;
const HEARD: u16 = 8;
const ATTEMPT: u16 = 9;
const TYPE: u16 = 10;
const TEXT: u16 = 11;
const TRACEBACK: u16 = 12;
const NOTE: u16 = 13;
const CANCELLED: u16 = 14;
const REASON: u16 = 15;
const OLDEST: u16 = 16;
const NEWEST: u16 = 17;
const LANGUAGE: u16 = 18;
const RUNTIME: u16 = 19;
const INSTALLED: u16 = 28;
const MEMO: u16 = 29;
const SEATS: u16 = 21;
const NUMBER: u16 = 22;
const RESIDENT: u16 = 23;
const LEVEL: u16 = 24;
const MESSAGE_MAX: u16 = 25;
const POOL: u16 = 26;
const LIFE: u16 = 27;

/// A call, as it goes to a worker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ask {
    pub(crate) tool: String,
    pub(crate) content_type: String,
    /// Known when it is given to a worker: it may have waited before.
    pub(crate) deadline: Option<Duration>,
    pub(crate) metadata: Vec<(String, String)>,
    pub(crate) traceparent: Option<String>,
    pub(crate) client: Option<Arc<str>>,
    /// How many items may be said before more credit; 0 asks for one answer.
    pub(crate) credit: u32,
    /// Further inputs follow.
    pub(crate) input: bool,
    pub(crate) attempt: u32,
    /// What a successor of this daemon needs to know of it.
    pub(crate) memo: Option<Vec<u8>>,
    pub(crate) body: Bytes,
}

/// What the daemon says to a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ToWorker {
    /// With the calls whose endings have been heard since the last one.
    Call(u64, Box<Ask>, Vec<u64>),
    Item(u64, Bytes),
    EndOfInput(u64),
    Credit(u64, u32),
    Welcome {
        message_max: u64,
        pool: String,
        life: String,
    },
    Ping(u64),
    Cancel(u64, &'static str),
    Drain,
    /// What runs, and what is kept? The answer bears this number.
    Resync(u64),
    Dump(u64),
}

/// A tool that every worker has: who answers it, or says that it has no such tool, can answer calls.
pub(crate) const CANARY: &str = "sidewinder.canary";
/// The call of the canary. No other call gets this far.
pub(crate) const CANARY_CALL: u64 = u64::MAX;

impl Ask {
    /// The call that proves a worker ready.
    pub(crate) fn canary() -> Self {
        Self {
            tool: CANARY.to_owned(),
            content_type: "application/json".to_owned(),
            attempt: 1,
            ..Self::default()
        }
    }
}

/// A value with its content type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Value {
    pub(crate) content_type: String,
    pub(crate) body: Bytes,
}

/// What a tool raised.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Raised {
    pub(crate) kind: String,
    pub(crate) message: String,
    pub(crate) traceback: String,
    pub(crate) notes: Vec<String>,
    /// It was the cancellation of this call.
    pub(crate) cancelled: bool,
}

/// What a worker says about one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    Item(Value),
    /// It takes so many further inputs.
    Want(u32),
    Answer(Value),
    End,
    Raised(Box<Raised>),
    /// The tool was not run: a reason and a message.
    Rejected(String, String),
}

impl Said {
    pub(crate) fn is_ending(&self) -> bool {
        !matches!(self, Self::Item(_) | Self::Want(_))
    }
}

/// What a worker says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    Hello {
        oldest: u8,
        newest: u8,
        language: String,
        runtime: String,
        installed: String,
    },
    Ready {
        seats: u16,
        offer: Bytes,
    },
    Unfit {
        message: String,
        traceback: String,
    },
    Pong {
        number: u64,
        resident: u64,
    },
    Log {
        call: u64,
        level: String,
        message: String,
    },
    Progress {
        call: u64,
        value: Value,
    },
    Heartbeat {
        call: u64,
    },
    Stacks {
        number: u64,
        text: String,
    },
    /// A fork server can be forked from.
    Preloaded,
    /// It must not be, and why.
    Unforkable {
        why: String,
    },
    /// What it does, for a daemon that was not there before.
    Standing(Reply),
}

impl ToWorker {
    pub(crate) fn message(self) -> Message {
        let (kind, call) = match &self {
            Self::Call(call, ..) => (1, *call),
            Self::Item(call, _) => (2, *call),
            Self::EndOfInput(call) => (3, *call),
            Self::Credit(call, _) => (4, *call),
            Self::Welcome { .. } => (33, 0),
            Self::Ping(_) => (34, 0),
            Self::Cancel(call, _) => (35, *call),
            Self::Drain => (36, 0),
            Self::Resync(_) => (37, 0),
            Self::Dump(_) => (38, 0),
        };
        let mut message = Message::new(kind, call);
        let meta = &mut message.meta;
        match self {
            Self::Call(_, ask, heard) => {
                ask.write(meta);
                heard.into_iter().for_each(|call| put_number(meta, HEARD, call));
                message.flags = if ask.input { INPUT } else { 0 };
                message.body = ask.body;
            }
            Self::Item(_, body) => message.body = body,
            Self::Credit(_, credit) => put_number(meta, CREDIT, credit.into()),
            Self::Welcome { message_max, pool, life } => {
                put_number(meta, NEWEST, super::frame::VERSION.into());
                put_number(meta, MESSAGE_MAX, message_max);
                put_field(meta, POOL, pool.as_bytes());
                put_field(meta, LIFE, life.as_bytes());
            }
            Self::Ping(number) | Self::Dump(number) | Self::Resync(number) => {
                put_number(meta, NUMBER, number);
            }
            Self::Cancel(_, why) => put_field(meta, TEXT, why.as_bytes()),
            Self::EndOfInput(_) | Self::Drain => {}
        }
        message
    }
}

impl Ask {
    /// About what its meta takes, so that it is made in one place.
    fn room(&self) -> usize {
        let texts = [&self.traceparent.as_deref(), &self.client.as_deref()];
        let texts = texts.iter().filter_map(|text| text.map(str::len)).sum::<usize>();
        let metadata = self.metadata.iter().map(|(name, value)| name.len() + value.len() + 8).sum::<usize>();
        let memo = self.memo.as_ref().map_or(0, Vec::len);
        128 + self.tool.len() + self.content_type.len() + texts + metadata + memo
    }

    fn write(&self, meta: &mut Vec<u8>) {
        meta.reserve(self.room());
        // What differs from call to call stands first and last: a worker need not read again what is between.
        self.memo.iter().for_each(|memo| put_field(meta, MEMO, memo));
        self.traceparent.iter().for_each(|text| put_field(meta, TRACEPARENT, text.as_bytes()));
        put_field(meta, TOOL, self.tool.as_bytes());
        if !self.content_type.is_empty() {
            put_field(meta, CONTENT_TYPE, self.content_type.as_bytes());
        }
        for (name, value) in &self.metadata {
            put_field(meta, METADATA, format!("{name}={value}").as_bytes());
        }
        self.client.iter().for_each(|client| put_field(meta, CLIENT, client.as_bytes()));
        for (tag, number) in [(CREDIT, self.credit), (ATTEMPT, self.attempt)] {
            if number > 0 {
                put_number(meta, tag, number.into());
            }
        }
        if let Some(deadline) = self.deadline {
            put_number(meta, DEADLINE, u64::try_from(deadline.as_micros()).unwrap_or(u64::MAX));
        }
    }
}

/// The meaning of a message on the calls socket.
pub(crate) fn said(message: Message) -> Result<(u64, Said), Broken> {
    let mut texts = Texts::default();
    texts.read(&message.meta)?;
    let value = Value { content_type: texts.content_type, body: message.body };
    let said = match message.kind {
        65 => Said::Answer(value),
        66 => Said::Item(value),
        67 => Said::End,
        68 => Said::Raised(Box::new(Raised {
            kind: texts.kind,
            message: texts.text,
            traceback: texts.traceback,
            notes: texts.notes,
            cancelled: texts.cancelled,
        })),
        69 => Said::Rejected(texts.reason, texts.text),
        70 => Said::Want(narrow(CREDIT, texts.credit)?),
        kind => return Err(Broken::Kind(kind)),
    };
    Ok((message.call, said))
}

/// The meaning of a message on the control socket.
pub(crate) fn notice(message: Message) -> Result<Notice, Broken> {
    let mut texts = Texts::default();
    texts.read(&message.meta)?;
    let call = message.call;
    Ok(match message.kind {
        97 => Notice::Hello {
            oldest: narrow(OLDEST, texts.oldest)?,
            newest: narrow(NEWEST, texts.newest)?,
            language: texts.language,
            runtime: texts.runtime,
            installed: texts.installed,
        },
        98 => Notice::Ready { seats: narrow(SEATS, texts.seats)?, offer: message.body },
        99 => Notice::Unfit { message: texts.text, traceback: texts.traceback },
        100 => Notice::Pong { number: texts.number, resident: texts.resident },
        101 => Notice::Log { call, level: texts.level, message: texts.text },
        102 => {
            Notice::Progress { call, value: Value { content_type: texts.content_type, body: message.body } }
        }
        103 => Notice::Heartbeat { call },
        104 => Notice::Stacks { number: texts.number, text: lossy(&message.body) },
        105 => Notice::Preloaded,
        106 => Notice::Unforkable { why: texts.text },
        107..=109 => {
            let word = match message.kind {
                107 => Word::Runs { call, memo: texts.memo, streams: texts.credit > 0 },
                108 => Word::Keeps { call, memo: texts.memo },
                _ => Word::Resynced,
            };
            Notice::Standing(Reply { number: texts.number, word })
        }
        kind => return Err(Broken::Kind(kind)),
    })
}

/// Every field that a worker may say.
#[derive(Debug, Default)]
struct Texts {
    content_type: String,
    kind: String,
    text: String,
    traceback: String,
    notes: Vec<String>,
    cancelled: bool,
    reason: String,
    oldest: u64,
    newest: u64,
    language: String,
    runtime: String,
    installed: String,
    seats: u64,
    number: u64,
    resident: u64,
    level: String,
    credit: u64,
    memo: Vec<u8>,
}

impl Texts {
    fn read(&mut self, meta: &[u8]) -> Result<(), Broken> {
        for field in Fields::of(meta) {
            let (tag, value) = field?;
            match tag {
                CONTENT_TYPE => self.content_type = lossy(value),
                TYPE => self.kind = lossy(value),
                TEXT => self.text = lossy(value),
                TRACEBACK => self.traceback = lossy(value),
                NOTE => self.notes.push(lossy(value)),
                CANCELLED => self.cancelled = value == b"1",
                REASON => self.reason = lossy(value),
                OLDEST => self.oldest = number(tag, value)?,
                NEWEST => self.newest = number(tag, value)?,
                LANGUAGE => self.language = lossy(value),
                RUNTIME => self.runtime = lossy(value),
                INSTALLED => self.installed = lossy(value),
                SEATS => self.seats = number(tag, value)?,
                CREDIT => self.credit = number(tag, value)?,
                MEMO => self.memo = value.to_vec(),
                NUMBER => self.number = number(tag, value)?,
                RESIDENT => self.resident = number(tag, value)?,
                LEVEL => self.level = lossy(value),
                _ => unknown(tag)?,
            }
        }
        Ok(())
    }
}

/// A worker's text may be cut in mid-character, or be no text at all: people read it all the same.
fn lossy(value: &[u8]) -> String {
    String::from_utf8_lossy(value).into_owned()
}

fn put_number(meta: &mut Vec<u8>, tag: u16, value: u64) {
    put_field(meta, tag, &value.to_le_bytes());
}

fn number(tag: u16, value: &[u8]) -> Result<u64, Broken> {
    value.try_into().map(u64::from_le_bytes).map_err(|_| Broken::Value(tag))
}

fn narrow<T: TryFrom<u64>>(tag: u16, value: u64) -> Result<T, Broken> {
    T::try_from(value).map_err(|_| Broken::Value(tag))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_says_which_endings_were_heard() {
        let ask = Box::new(Ask { tool: "add".to_owned(), ..Ask::default() });
        let message = ToWorker::Call(9, ask, vec![7, 8]).message();
        let heard = Fields::of(&message.meta).map(|field| field.expect("whole"));
        let heard: Vec<_> = heard.filter(|(tag, _)| *tag == HEARD).map(|(_, value)| value.to_vec()).collect();
        assert_eq!(heard, [7_u64, 8].map(|call| call.to_le_bytes().to_vec()));
    }
}
