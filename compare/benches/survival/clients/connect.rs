//! Connecting, and a round trip.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use crate::common::failure::Failure;

pub(crate) const MESSAGE: [u8; 64] = [b'x'; 64];

/// In bytes.
const SMALL_BUFFER: usize = 64 * 1024;

const TIMEOUT: Duration = Duration::from_secs(1);

/// A client whose every call has a timeout of a second.
pub(crate) fn connect(addr: SocketAddr) -> Result<TcpStream, Failure> {
    let stream = TcpStream::connect_timeout(&addr, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// A client with small buffers in the kernel, so that the server soon has to hold what it does not read. With buffers
/// that grow, some hundred such clients use up what the kernel has for all of TCP.
pub(crate) fn connect_with_small_buffers(addr: SocketAddr) -> Result<TcpStream, Failure> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_recv_buffer_size(SMALL_BUFFER)?;
    socket.set_send_buffer_size(SMALL_BUFFER)?;
    socket.connect_timeout(&addr.into(), TIMEOUT)?;
    Ok(socket.into())
}

pub(crate) fn round_trip(client: &mut TcpStream) -> Result<(), Failure> {
    let mut back = [0; MESSAGE.len()];
    client.write_all(&MESSAGE)?;
    client.read_exact(&mut back)?;
    Ok(())
}

/// A round trip that may come after one that was given up: it skips the late answers. A message is one
/// byte, so that none is ever cut in two.
pub(crate) fn numbered_round_trip(client: &mut TcpStream, number: u8) -> Result<(), Failure> {
    let mut back = [number.wrapping_sub(1)];
    client.write_all(&[number])?;
    while back != [number] {
        client.read_exact(&mut back)?;
    }
    Ok(())
}
