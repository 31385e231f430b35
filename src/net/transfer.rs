//! Reading from a socket, and writing to it.

use std::io::{self, IoSlice};

use mio::net::TcpStream;

pub(super) use calls::read;

/// The system calls themselves. The wrappers of the C library are cancellation points of POSIX threads, which an echo in
/// a process with several threads pays with 100 instructions (callgrind).
#[cfg(any(target_os = "linux", target_os = "android"))]
mod calls {
    use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, recv, send, sendmsg};

    use super::{IoSlice, TcpStream, io};

    pub(in crate::net) fn read(stream: &TcpStream, into: &mut [u8]) -> io::Result<usize> {
        let (count, _) = recv(stream, into, RecvFlags::empty())?;
        Ok(count)
    }

    // Without SIGPIPE. A Rust program ignores that signal, but a program in another language that uses this library may
    // not. `writev` could not suppress it.
    const FLAGS: SendFlags = SendFlags::NOSIGNAL;

    pub(super) fn write(stream: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
        Ok(send(stream, bytes, FLAGS)?)
    }

    pub(super) fn write_many(stream: &TcpStream, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        Ok(sendmsg(stream, slices, &mut SendAncillaryBuffer::default(), FLAGS)?)
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod calls {
    use std::io::{Read, Write};

    use super::{IoSlice, TcpStream, io};

    pub(in crate::net) fn read(mut stream: &TcpStream, into: &mut [u8]) -> io::Result<usize> {
        stream.read(into)
    }

    pub(super) fn write(mut stream: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
        stream.write(bytes)
    }

    pub(super) fn write_many(mut stream: &TcpStream, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        stream.write_vectored(slices)
    }
}

/// Writes the slices in one system call.
pub(super) fn write(stream: &TcpStream, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    match slices {
        [one] => calls::write(stream, one),
        many => calls::write_many(stream, many),
    }
}
