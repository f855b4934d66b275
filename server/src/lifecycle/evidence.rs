//! What can be seen of whoever started us, and which mode it speaks for. The strongest evidence first.

use super::Mode;
use rustix::fs::FileType;
use std::env;

/// What can be seen.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact that is there or not")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Evidence {
    /// Sockets were handed to this very process.
    pub(crate) activated: bool,
    /// Standard input is a pipe or a socket.
    pub(crate) lifeline: bool,
    /// A service manager wants to be notified.
    pub(crate) notified: bool,
    /// This is a pod.
    pub(crate) kubernetes: bool,
    /// Other machines can connect.
    pub(crate) public: bool,
}

impl Evidence {
    /// Looks around. What was handed to this process has been taken by now.
    pub(crate) fn gather(activated: bool, public: bool) -> Self {
        let input =
            rustix::fs::fstat(rustix::stdio::stdin()).map(|stat| FileType::from_raw_mode(stat.st_mode));
        Self {
            activated,
            lifeline: input.is_ok_and(|kind| kind.is_fifo() || kind.is_socket()),
            notified: env::var_os("NOTIFY_SOCKET").is_some(),
            kubernetes: env::var_os("KUBERNETES_SERVICE_HOST").is_some(),
            public,
        }
    }

    /// A BEAM under systemd, or in a pod, passes the environment of its own service on to the daemon that it starts.
    /// So what is inherited counts less than what was made for this process.
    pub(super) fn verdict(self) -> (Mode, String) {
        let (mode, why) = if self.activated {
            (Mode::Supervised, "sockets were handed to this process (LISTEN_FDS)")
        } else if self.lifeline {
            (Mode::Coupled, "standard input is a lifeline: a pipe or a socket whose end means the end")
        } else if self.notified {
            (Mode::Supervised, "a service manager waits for notifications (NOTIFY_SOCKET)")
        } else if self.kubernetes && self.public {
            (Mode::Distributed, "this is a pod that other machines can reach")
        } else if self.kubernetes {
            (Mode::Independent, "this is a pod, and only it can connect")
        } else {
            (Mode::Independent, "nothing speaks for anybody whose life it depends on")
        };
        (mode, why.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_made_for_this_process_counts_more_than_what_is_inherited() {
        let none = Evidence::default();
        let mode = |evidence: Evidence| evidence.verdict().0;
        assert_eq!(mode(none), Mode::Independent);
        assert_eq!(mode(Evidence { notified: true, ..none }), Mode::Supervised);
        assert_eq!(mode(Evidence { notified: true, lifeline: true, ..none }), Mode::Coupled);
        assert_eq!(mode(Evidence { kubernetes: true, lifeline: true, ..none }), Mode::Coupled);
        assert_eq!(mode(Evidence { activated: true, lifeline: true, ..none }), Mode::Supervised);
        assert_eq!(mode(Evidence { kubernetes: true, ..none }), Mode::Independent);
        assert_eq!(mode(Evidence { kubernetes: true, public: true, ..none }), Mode::Distributed);
        assert_eq!(mode(Evidence { public: true, ..none }), Mode::Independent);
    }
}
