//! The usual echo server of tokio, on the runtime and the listener that it is given.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

use super::announce;
use crate::common::failure::Failure;

/// As large as in tokio's own examples.
pub(crate) const BUFFER: usize = 4096;

/// Each connection has a buffer of its own, so large.
pub(crate) fn serve(
    runtime: &Runtime,
    listener: std::net::TcpListener,
    buffer: usize,
) -> Result<(), Failure> {
    runtime.block_on(accept(listener, buffer))
}

async fn accept(listener: std::net::TcpListener, buffer: usize) -> Result<(), Failure> {
    let listener = TcpListener::from_std(listener)?;
    announce(listener.local_addr()?)?;
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        tokio::spawn(echo(stream, buffer));
    }
}

async fn echo(mut stream: TcpStream, buffer: usize) -> std::io::Result<()> {
    let mut buffer = vec![0; buffer];
    loop {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..count]).await?;
    }
}
