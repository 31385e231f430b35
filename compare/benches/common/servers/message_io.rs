//! The usual echo server of message-io.

use message_io::network::{NetEvent, Transport};
use message_io::node;

use super::announce;
use crate::common::failure::Failure;

pub(crate) fn serve() -> Result<(), Failure> {
    let (handler, listener) = node::split::<()>();
    let (_, addr) = handler.network().listen(Transport::Tcp, "127.0.0.1:0")?;
    announce(addr)?;
    listener.for_each(move |event| {
        if let NetEvent::Message(endpoint, data) = event.network() {
            handler.network().send(endpoint, data);
        }
    });
    Ok(())
}
