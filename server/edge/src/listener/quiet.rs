//! A unix stream that hears of room only when it waits for some.
//!
//! The kernel says of a unix socket that it can be written to whenever its reader has taken something, and a runtime that
//! watches for both ways is woken for each message twice: once to read it, and once because the answer was taken, which
//! nobody waits for. So only reading is watched; for room there is a second watch, as long as a writer has none.

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown, recv, send, sendmsg, shutdown};
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::UnixStream;

/// The way in, and the way out while that is full.
#[derive(Debug)]
pub(crate) struct Quiet {
    way_in: AsyncFd<OwnedFd>,
    full: Option<AsyncFd<OwnedFd>>,
    /// How much is read at once. Room is cleared before it is read into, so most of it should be needed.
    expected: usize,
}

const EXPECTED_MIN: usize = 512;
const EXPECTED_MAX: usize = 256 * 1024;

#[expect(
    deprecated,
    reason = "what is unsound is a descriptor that lies about its number; an OwnedFd does not"
)]
fn watched(fd: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(fd, interest)
}

impl Quiet {
    /// Called within a runtime.
    pub(crate) fn over(stream: UnixStream) -> io::Result<Self> {
        let way_in = watched(stream.into_std()?.into(), Interest::READABLE)?;
        Ok(Self { way_in, full: None, expected: EXPECTED_MIN })
    }

    /// Writes what fits at once, and does not wait.
    pub(crate) fn say(&self, bytes: &[u8]) -> io::Result<usize> {
        Ok(send(&self.way_in, bytes, FLAGS)?)
    }

    /// As much again as came last, and room to see that there is more.
    fn expect(&mut self, read: usize) {
        self.expected = (2 * read).clamp(EXPECTED_MIN, EXPECTED_MAX);
    }

    fn poll_send(
        &mut self,
        context: &mut Context<'_>,
        send: impl Fn(BorrowedFd<'_>) -> Result<usize, Errno>,
    ) -> Poll<io::Result<usize>> {
        loop {
            match send(self.way_in.as_fd()) {
                Ok(written) => {
                    self.full = None;
                    return Poll::Ready(Ok(written));
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    let full = match &mut self.full {
                        Some(full) => full,
                        None => self
                            .full
                            .insert(watched(self.way_in.as_fd().try_clone_to_owned()?, Interest::WRITABLE)?),
                    };
                    ready!(full.poll_write_ready_mut(context))?.clear_ready();
                }
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
    }
}

const FLAGS: SendFlags = SendFlags::DONTWAIT.union(SendFlags::NOSIGNAL);

impl AsFd for Quiet {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.way_in.as_fd()
    }
}

impl AsyncRead for Quiet {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let asked = self.expected.min(into.remaining());
            let mut ready = ready!(self.way_in.poll_read_ready_mut(context))?;
            let room = into.initialize_unfilled_to(asked);
            match recv(ready.get_inner(), room, RecvFlags::DONTWAIT) {
                Ok((read, _)) => {
                    // Less than was asked for is all there was: what comes next is told.
                    if read > 0 && read < asked {
                        ready.clear_ready();
                    }
                    into.advance(read);
                    self.expect(read);
                    return Poll::Ready(Ok(()));
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => ready.clear_ready(),
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
    }
}

impl AsyncWrite for Quiet {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().poll_send(context, |fd| send(fd, bytes, FLAGS))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // More at a time the kernel does not take.
        let slices = slices.get(..SLICES_MAX).unwrap_or(slices);
        self.get_mut()
            .poll_send(context, |fd| sendmsg(fd, slices, &mut SendAncillaryBuffer::default(), FLAGS))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match shutdown(&self.way_in, Shutdown::Write) {
            // The other end has gone before.
            Ok(()) | Err(Errno::NOTCONN) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(error.into())),
        }
    }
}

/// Slices of one write (`IOV_MAX`).
const SLICES_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn everything_comes_through_however_slowly_it_is_read() {
        let (one, mut other) = UnixStream::pair().unwrap();
        let mut quiet = Quiet::over(one).unwrap();
        let sent: Vec<u8> = (0..3_000_000_u32).map(|number| (number % 251) as u8).collect();
        let expected = sent.clone();
        let writing = tokio::spawn(async move {
            quiet.write_all(&sent).await.unwrap();
            quiet.shutdown().await.unwrap();
            let mut said = Vec::new();
            quiet.read_to_end(&mut said).await.unwrap();
            said
        });
        let mut seen = Vec::new();
        let mut piece = vec![0; 1_000];
        loop {
            // Others run between one piece and the next, so the way is full most of the time.
            tokio::task::yield_now().await;
            match other.read(&mut piece).await.unwrap() {
                0 => break,
                read => seen.extend_from_slice(&piece[..read]),
            }
        }
        assert!(seen == expected, "{} bytes of {}", seen.len(), expected.len());
        other.write_all(&expected[..100_000]).await.unwrap();
        drop(other);
        assert!(writing.await.unwrap() == expected[..100_000]);
    }

    #[tokio::test]
    async fn the_end_of_the_other_side_is_an_error_for_a_writer_that_waits() {
        let (one, other) = UnixStream::pair().unwrap();
        let mut quiet = Quiet::over(one).unwrap();
        let writing = tokio::spawn(async move { quiet.write_all(&vec![0; 10_000_000]).await });
        tokio::task::yield_now().await;
        drop(other);
        assert_eq!(writing.await.unwrap().unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}
