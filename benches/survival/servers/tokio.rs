use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;

use super::{announce, listener};
use crate::Failure;

pub(super) fn serve() -> Result<(), Failure> {
    Builder::new_current_thread().enable_io().build()?.block_on(accept())
}

async fn accept() -> Result<(), Failure> {
    let listener = TcpListener::from_std(listener()?)?;
    announce(listener.local_addr()?)?;
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        tokio::spawn(echo(stream));
    }
}

async fn echo(mut stream: TcpStream) -> std::io::Result<()> {
    let mut buffer = vec![0; 4096];
    loop {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..count]).await?;
    }
}
