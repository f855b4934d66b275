//! `sidewinder call` and `sidewinder stream`: run a tool by hand.

use super::client::{Failed, Where, ask};
use super::style::{show, show_bytes};
use crate::config::time::duration;
use sidewinder_proto::v1::{Call, CallRequest, Payload};
use std::io::Read;
use std::process::ExitCode;
use std::time::Duration;
use tonic::Request;

const JSON: &str = "application/json";
const RAW: &str = "application/octet-stream";

/// What both verbs take
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The tool
    tool: String,
    /// Its arguments as a JSON object; @FILE reads them from a file, - from standard input
    #[arg(value_name = "ARGUMENTS", default_value = "{}")]
    json: String,
    /// Send the arguments as bytes, and write the value's bytes as they come: nothing is read as JSON
    #[arg(long)]
    raw: bool,
    /// The pool; by default the only one
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    pool: String,
    /// Give up after this time
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    timeout: Option<Duration>,
    /// Keeps related calls on one worker
    #[arg(long, value_name = "KEY")]
    affinity: Option<String>,
    #[command(flatten)]
    place: Where,
}

/// Runs a tool and shows its value.
pub(super) fn call(arguments: &Arguments) -> ExitCode {
    ask(async {
        let request = arguments.request()?;
        let answer = arguments.place.calls().await?.call(request).await?.into_inner();
        arguments.show(&answer.value.unwrap_or_default())
    })
}

/// Runs a tool and shows its items as they come, one a line.
pub(super) fn stream(arguments: &Arguments) -> ExitCode {
    ask(async {
        let request = arguments.request()?;
        let mut items = arguments.place.calls().await?.stream(request).await?.into_inner();
        while let Some(item) = items.message().await? {
            arguments.show(&item.value.unwrap_or_default())?;
        }
        Ok(())
    })
}

impl Arguments {
    fn request(&self) -> Result<Request<CallRequest>, Failed> {
        let data = self.data().map_err(|error| Failed::Here(format!("{}: {error}", self.json)))?;
        let content_type = if self.raw { RAW } else { JSON };
        if let Some(error) =
            serde_json::from_slice::<serde::de::IgnoredAny>(&data).err().filter(|_| !self.raw)
        {
            let why = format!("the arguments are no JSON ({error}): write them as '{{\"name\": value}}'");
            return Err(Failed::Here(why));
        }
        let affinity =
            self.affinity.as_ref().map(|key| sidewinder_proto::v1::Affinity { key: key.clone(), mode: 0 });
        let call = Call { pool: self.pool.clone(), tool: self.tool.clone(), affinity, ..Call::default() };
        let payload = Payload { data: data.into(), content_type: content_type.to_owned() };
        let mut request = Request::new(CallRequest { call: Some(call), arguments: Some(payload) });
        if let Some(timeout) = self.timeout {
            request.set_timeout(timeout);
        }
        Ok(request)
    }

    fn data(&self) -> std::io::Result<Vec<u8>> {
        match self.json.strip_prefix('@') {
            Some(file) => std::fs::read(file),
            None if self.json == "-" => {
                let mut data = Vec::new();
                std::io::stdin().read_to_end(&mut data).map(|_| data)
            }
            None => Ok(self.json.clone().into_bytes()),
        }
    }

    fn show(&self, value: &Payload) -> Result<(), Failed> {
        let shown = if self.raw {
            show_bytes(&value.data)
        } else {
            show(&format!("{}\n", String::from_utf8_lossy(&value.data)))
        };
        shown.map_err(|error| Failed::Here(error.to_string()))
    }
}
