//! A transient scope: a cgroup that the service manager makes around a process which runs already, and leaves to us.
//!
//! It has no program of its own, and goes by itself when the last process in it has ended. So nothing has to be taken back,
//! whoever dies first.
//!
//! The manager is asked through D-Bus. Who asks decides whom: root that of the system, anybody else their own. A user who may
//! have the system's manager make units could have it do anything, so that is not tried.

use futures_util::StreamExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::time::timeout;
use zbus::connection::Builder;
use zbus::message::Type;
use zbus::{Connection, MatchRule, Message, MessageStream, OwnedObjectPath, Variant};

const MANAGER: &str = "org.freedesktop.systemd1";
const OBJECT: &str = "/org/freedesktop/systemd1";
const INTERFACE: &str = "org.freedesktop.systemd1.Manager";
/// The signal that a job has ended, one way or the other.
const REMOVED: &str = "JobRemoved";
/// From the question to a process that is in its scope. It takes milliseconds. A pool answers nobody meanwhile, and the
/// watchdog of the service asks it: this is less than that waits.
const PATIENCE: Duration = Duration::from_secs(5);
/// What to do when there is no scope to be had.
const WAY_OUT: &str = "run the daemon as root, or as a user with a systemd of their own (`loginctl enable-linger USER`), \
                       or write `placement = \"unit\"` in [daemon]";

/// Makes a scope around a process, for people to find under these words. Blocks until the process is in it; never on a
/// thread of the runtime.
pub(crate) fn enclose(process: u32, name: &str, about: &str) -> Result<(), String> {
    let bus = bus();
    let wrong = |why: &str| format!("cannot make the scope {name}: {why}. Otherwise {WAY_OUT}");
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let around = Around::of(&own, !is_root());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| wrong(&error.to_string()))?;
    // One that cannot take anybody at the moment refuses at once in this way, where another would wait without end.
    let connection =
        runtime.block_on(async { UnixStream::connect(&bus).await?.into_std() }).map_err(|error| {
            format!(
                "no D-Bus at {} ({error}), so no systemd can be asked for a scope: {WAY_OUT}",
                bus.display()
            )
        })?;
    let made = runtime
        .block_on(async { timeout(PATIENCE, make(connection, process, name, about, &around)).await })
        .map_err(|_| wrong(&format!("no answer through {} within {PATIENCE:?}", bus.display())))?;
    match made.map_err(|error| wrong(&error.to_string()))?.as_str() {
        "done" => Ok(()),
        result => Err(wrong(&format!("the manager tried, and its result is `{result}`"))),
    }
}

/// The bus on which the manager of this user is.
fn bus() -> PathBuf {
    if is_root() {
        return PathBuf::from("/run/dbus/system_bus_socket");
    }
    let named = std::env::var_os("XDG_RUNTIME_DIR").filter(|path| Path::new(path).is_absolute());
    let user = rustix::process::geteuid().as_raw();
    named.map_or_else(|| PathBuf::from(format!("/run/user/{user}")), PathBuf::from).join("bus")
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Asks, and waits for the manager's word that it has tried.
async fn make(
    connection: std::os::unix::net::UnixStream,
    process: u32,
    name: &str,
    about: &str,
    around: &Around,
) -> zbus::Result<String> {
    let connection = Builder::unix_stream(connection).build().await?;
    // Before the question: what follows from it may come before its answer.
    let rule = MatchRule::builder().msg_type(Type::Signal).interface(INTERFACE).member(REMOVED).build()?;
    let mut heard = MessageStream::for_match_rule(rule, &connection, None).await?;
    connection.call_method(Some(MANAGER), OBJECT, Some(INTERFACE), "Subscribe", &()).await?;
    let mut properties = vec![
        ("Description", Variant::from(about)),
        ("PIDs", Variant::from(vec![process])),
        ("Delegate", Variant::from(true)),
        // Who stops it means everybody in it. A keeper that is only asked to end would stay for as long as its owner.
        ("KillSignal", Variant::from(libc::SIGKILL)),
        // Also one that has failed is forgotten.
        ("CollectMode", Variant::from("inactive-or-failed")),
    ];
    properties.extend(around.slice.as_ref().map(|slice| ("Slice", Variant::from(slice.as_str()))));
    // When the machine goes down the daemon may let its calls end first.
    properties.extend(around.unit.as_ref().map(|unit| ("Before", Variant::from(vec![unit.as_str()]))));
    let job = ask(&connection, name, properties).await?;
    while let Some(message) = heard.next().await {
        if let Some(result) = result_of(&message?, &job) {
            return Ok(result);
        }
    }
    Err(zbus::Error::Failure("the connection ended before the answer".to_owned()))
}

async fn ask(
    connection: &Connection,
    name: &str,
    properties: Vec<(&str, Variant<'_>)>,
) -> zbus::Result<OwnedObjectPath> {
    let others: Vec<(&str, Vec<(&str, Variant<'_>)>)> = Vec::new();
    let question = (name, "fail", properties, others);
    let asked =
        connection.call_method(Some(MANAGER), OBJECT, Some(INTERFACE), "StartTransientUnit", &question);
    asked.await?.body().deserialize()
}

/// How a job has ended, if that is what a message tells.
fn result_of(message: &Message, job: &OwnedObjectPath) -> Option<String> {
    let body = message.body();
    let (_, ended, _, result): (u32, OwnedObjectPath, String, String) = body.deserialize().ok()?;
    (ended == *job).then_some(result)
}

/// What is around the daemon.
#[derive(Debug, Default, PartialEq, Eq)]
struct Around {
    /// The bounds of all daemons hold for their scopes, too.
    slice: Option<String>,
    unit: Option<String>,
}

impl Around {
    /// As `/proc/self/cgroup` tells it: slices below each other, and then the unit. A user's manager has its own hierarchy
    /// below its unit.
    fn of(memberships: &str, of_user: bool) -> Self {
        let inside = memberships.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or_default();
        let mut parts = inside.split('/').filter(|part| !part.is_empty());
        if of_user && !parts.any(|part| part.starts_with("user@")) {
            return Self::default();
        }
        let mut around = Self::default();
        for part in parts {
            match part.rsplit_once('.') {
                Some((_, "slice")) => around.slice = Some(part.to_owned()),
                Some((_, "service" | "scope")) => {
                    around.unit = Some(part.to_owned());
                    break;
                }
                Some(_) | None => break,
            }
        }
        around
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn around(memberships: &str, of_user: bool) -> (Option<String>, Option<String>) {
        let Around { slice, unit } = Around::of(memberships, of_user);
        (slice, unit)
    }

    #[test]
    fn a_scope_is_beside_its_daemon() {
        let both = |slice: &str, unit: &str| (Some(slice.to_owned()), Some(unit.to_owned()));
        let system = "1:name=systemd:/x\n0::/a.slice/a-b.slice/s.service/sidewinder-owner\n";
        assert_eq!(around(system, false), both("a-b.slice", "s.service"));
        let user = "0::/user.slice/user-7.slice/user@7.service/app.slice/s.service\n";
        assert_eq!(around(user, true), both("app.slice", "s.service"));
        assert_eq!(around(user, false), both("user-7.slice", "user@7.service"));
        let session = "0::/user.slice/user-7.slice/session-1.scope\n";
        assert_eq!(around(session, true), (None, None));
        assert_eq!(around(session, false), both("user-7.slice", "session-1.scope"));
        for nothing in ["", "0::/", "0::/anything/else"] {
            assert_eq!(around(nothing, false), (None, None));
        }
    }
}
